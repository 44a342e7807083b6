import { label } from "./label.js";

chrome.runtime.onMessage.addListener((photo, _sender, answer) => {
  label("/model/", photo).then(answer);
  return true;
});
