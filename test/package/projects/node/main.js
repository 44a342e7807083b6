import { label } from "./label.js";

console.log(await label("./model", "./photo.jpg"));
