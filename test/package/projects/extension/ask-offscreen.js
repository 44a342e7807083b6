chrome.runtime.connect().onMessage.addListener(async () => {
  document.body.textContent = await chrome.runtime.sendMessage("/photo.jpg");
});
