const worker = new Worker(new URL("./app-worker.js", import.meta.url), { type: "module" });
worker.onmessage = ({ data }) => {
  document.body.textContent = data;
};
