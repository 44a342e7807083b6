chrome.runtime.onConnect.addListener(async (port) => {
  const document = { url: "offscreen.html", reasons: ["WORKERS"], justification: "labels photos" };
  if (!(await chrome.offscreen.hasDocument())) await chrome.offscreen.createDocument(document);
  port.postMessage("ready");
});
