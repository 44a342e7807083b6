import { label } from "./label.js";

label("https://models.example/model/", "/photo.jpg").then((text) => {
  document.body.textContent = text;
});
