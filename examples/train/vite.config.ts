import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { ISOLATION_HEADERS } from "../../scripts/chromium.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  // with them the page may share memory between threads, and trains on all of them
  server: { host: "127.0.0.1", port: 5173, fs: { allow: [root] }, headers: ISOLATION_HEADERS },
  build: { outDir: `${root}demo-dist`, emptyOutDir: true },
});
