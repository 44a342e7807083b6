import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const root = fileURLToPath(new URL("../..", import.meta.url));

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  resolve: { alias: { clipwright: `${root}dist/ts/index.js` } },
  server: { host: "127.0.0.1", port: 5173, strictPort: true, fs: { allow: [root] } },
  build: { outDir: `${root}demo-dist`, emptyOutDir: true },
  worker: { format: "es" },
});
