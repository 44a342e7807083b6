import { label } from "./label.js";

label("/model/", "/photo.jpg").then((text) => {
  document.body.textContent = text;
});
