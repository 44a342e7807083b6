/** A page of this repository in headless Chromium, served by Vite with the built package under its name. */

import { createReadStream, statSync } from "node:fs";
import { join, normalize } from "node:path";
import { CHROMIUM_FLAGS } from "./chromium.mjs";
import { ROOT, setUpChromium } from "./setup.mjs";

/** A Vite plugin: the files of a folder under `/models/`, by range. */
export const serveModels = (folder) => ({
  name: "models",
  configureServer: (vite) =>
    void vite.middlewares.use((request, response, next) => {
      const { pathname } = new URL(request.url, "http://server");
      if (!pathname.startsWith("/models/")) return next();
      const path = join(folder, normalize(pathname.slice("/models".length)));
      const size = statSync(path, { throwIfNoEntry: false })?.size;
      if (size === undefined) {
        response.writeHead(404);
        return response.end();
      }
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
      const [start, end] = range ? [Number(range[1]), Math.min(size - 1, Number(range[2]))] : [0, size - 1];
      response.writeHead(range ? 206 : 200, {
        "content-type": "application/octet-stream",
        "content-length": end - start + 1,
        ...(range && { "content-range": `bytes ${start}-${end}/${size}` }),
      });
      createReadStream(path, { start, end }).pipe(response);
    }),
});

/** Opens `path`; `plugins` are Vite's, `alias` names what is imported besides the package. */
export async function openPage(path, { plugins = [], alias = {} } = {}) {
  const { createServer } = await import("vite");
  const { chromium } = await import("playwright");
  const server = await createServer({
    root: ROOT,
    configFile: false,
    logLevel: "error",
    resolve: { alias: { clipwright: join(ROOT, "dist/ts/index.js"), ...alias } },
    plugins,
    // a file that changes meanwhile must not reload the page
    server: { host: "127.0.0.1", port: 0, watch: null, hmr: false },
  });
  await server.listen();
  const browser = await chromium.launch({ executablePath: setUpChromium(), args: CHROMIUM_FLAGS });
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  const origin = `http://127.0.0.1:${server.httpServer.address().port}`;
  await page.goto(`${origin}/${path}`);
  return {
    page,
    origin,
    version: browser.version(),
    async close() {
      await browser.close();
      await server.close();
    },
  };
}
