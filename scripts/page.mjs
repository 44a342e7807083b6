/** A page of this repository in headless Chromium, served by Vite with the built package under its name. */

import { join } from "node:path";
import { CHROMIUM_FLAGS } from "./chromium.mjs";
import { ROOT, setUpChromium } from "./setup.mjs";

/** Opens `path`; `plugins` are Vite's. */
export async function openPage(path, plugins = []) {
  const { createServer } = await import("vite");
  const { chromium } = await import("playwright");
  const server = await createServer({
    root: ROOT,
    configFile: false,
    logLevel: "error",
    resolve: { alias: { clipwright: join(ROOT, "dist/ts/index.js") } },
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
