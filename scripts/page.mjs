/** Opens pages of this repository in headless Chromium. Vite serves them, and the built package as `clipwright`. */

import { createReadStream, readFileSync, statSync } from "node:fs";
import { join, normalize } from "node:path";
import { CHROMIUM_FLAGS, ISOLATION_HEADERS } from "./chromium.mjs";
import { ROOT } from "./jobs.mjs";
import { setUpChromium } from "./setup.mjs";

/** A Vite plugin that serves the files of a folder under `/models/`, with range requests. */
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

/**
 * Serves this repository. `plugins` are Vite's, `alias` adds importable names, `isolated` sets the headers that threads need.
 */
async function serve({ plugins = [], alias = {}, isolated = false }) {
  const { createServer } = await import("vite");
  const server = await createServer({
    root: ROOT,
    configFile: false,
    logLevel: "error",
    resolve: { alias },
    plugins,
    // a change to a file must not reload the page
    server: { host: "127.0.0.1", port: 0, watch: null, hmr: false, headers: isolated ? ISOLATION_HEADERS : {} },
  });
  await server.listen();
  return { server, origin: `http://127.0.0.1:${server.httpServer.address().port}` };
}

/** Opens `path` in a new browser. */
export async function openPage(path, options = {}) {
  const { chromium } = await import("playwright");
  const { server, origin } = await serve(options);
  const browser = await chromium.launch({ executablePath: await setUpChromium(), args: CHROMIUM_FLAGS });
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
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

/**
 * Opens a browser that keeps its storage in a folder. `visit(path, work)` opens a page, runs `work` on it, and adds the peak memory of
 * its process as `bytes`.
 */
export async function openProfile(folder, options = {}) {
  const { chromium } = await import("playwright");
  const { server, origin } = await serve(options);
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: await setUpChromium(),
    args: CHROMIUM_FLAGS,
  });
  const session = await context.browser().newBrowserCDPSession();
  const renderers = async () => {
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    return processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
  };
  return {
    origin,
    version: context.browser().version(),
    async visit(path, work) {
      const page = await context.newPage();
      page.setDefaultTimeout(0);
      await page.goto(`${origin}/${path}`);
      const result = await work(page);
      // processes of earlier pages have ended; spare processes are small
      const bytes = Math.max(...(await renderers()).map(mostMemory));
      await page.close();
      return { ...result, bytes };
    },
    async close() {
      await context.close();
      await server.close();
    },
  };
}

/** Peak memory of a process, on Linux. */
function mostMemory(pid) {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line[1]) * 1024;
}
