const { id } = await chrome.windows.getCurrent();
document.querySelector("button").onclick = () => chrome.sidePanel.open({ windowId: id });
chrome.runtime.onMessage.addListener((text) => void document.body.append(text));
