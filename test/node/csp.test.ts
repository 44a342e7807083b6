/** A page with a strict Content Security Policy: no CDN, no eval, nothing inline. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { basename, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright";
import { build } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { modelServer } from "../model-server.mjs";
import { launchChromium } from "./chromium";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "clipwright-csp-"));
const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";

let server: Server;
let origin: string;
/** Whether the server lacks the modules, as after an incomplete deploy. */
let mislaid = false;

beforeAll(async () => {
  await build({
    configFile: false,
    logLevel: "error",
    root: join(root, "test/csp"),
    build: { outDir: folder, emptyOutDir: true, target: "esnext", modulePreload: false },
  });
  server = createServer((request, response) =>
    modelServer(request, response, () => {
      const { pathname } = new URL(request.url ?? "/", "http://server");
      const path = pathname === "/" ? "/index.html" : normalize(pathname);
      try {
        if (mislaid && path.endsWith(".wasm")) throw new Error("left behind");
        const body = readFileSync(join(folder, path));
        const type = TYPES[extname(path)] ?? "application/octet-stream";
        // a worker has the policy of its own response
        response.writeHead(200, { "content-type": type, "content-security-policy": POLICY });
        response.end(body);
      } catch {
        response.writeHead(404).end();
      }
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  origin = `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The page's result. */
async function answerOf(page: Page) {
  await page.goto(origin);
  await page.waitForFunction(() => document.title === "done");
  return JSON.parse((await page.locator("#answer").textContent()) ?? "");
}

test("script-src 'self' 'wasm-unsafe-eval' is enough, and encoding does not fetch the training module", async () => {
  const browser = await launchChromium();
  const page = await browser.newPage();
  const elsewhere: string[] = [];
  const modules = new Set<string>();
  page.on("request", (request) => {
    if (!request.url().startsWith(origin) && !/^(data|blob):/.test(request.url())) elsewhere.push(request.url());
    if (request.url().endsWith(".wasm")) modules.add(basename(request.url()).replace(/(_bg)?-[\w-]{8}\.wasm$/, ""));
  });
  const said = await answerOf(page);
  await browser.close();
  expect(said).toEqual({
    answer: { best: "number", kept: 1, found: "canvas", ids: 16 },
    violations: [],
    evil: "refused",
  });
  expect(elsewhere).toEqual([]);
  expect(modules).toEqual(new Set(["encode-cpu-relaxed", "tokenizers", "index", "sqlite3"]));
});

test("a module that the server lacks is named with its address", async () => {
  const browser = await launchChromium();
  mislaid = true;
  const { answer } = await answerOf(await browser.newPage());
  mislaid = false;
  await browser.close();
  expect(answer.error).toMatch(/^ClipError: cannot load .* module encode-cpu-relaxed at http:\S+\.wasm: /);
});
