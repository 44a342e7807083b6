import { label } from "./label.js";

label("/model/", "/photo.jpg").then((text) => postMessage(text));
