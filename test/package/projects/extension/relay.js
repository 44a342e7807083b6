/** Tells the page beside what the panel shows: a test cannot read the panel itself. */
const tell = () => chrome.runtime.sendMessage(document.body.textContent);

addEventListener("unhandledrejection", ({ reason }) => chrome.runtime.sendMessage(String(reason)));
new MutationObserver(tell).observe(document.body, { childList: true });
