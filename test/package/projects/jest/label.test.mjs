import { label } from "./label.js";

test("labels a photo", async () => {
  console.log(await label("./model", "./photo.jpg"));
});
