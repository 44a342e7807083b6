/** The package's files in other places than a bundler would put them: on another origin, in folders of their own, or missing. */

import { createReadStream, existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { Clip, configure, isClipError } from "clipwright";
import type { Browser, Page } from "playwright";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ISOLATION_HEADERS } from "../../scripts/chromium.mjs";
import { modelServer } from "../model-server.mjs";
import { launchChromium } from "./chromium";

const root = fileURLToPath(new URL("../..", import.meta.url));
const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };
const CORS = { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin" };

const servers: Server[] = [];
let browser: Browser;
let cdn: string;
let app: string;
/** Paths that the servers have not. */
let missing: RegExp | undefined;
/** Modules that were fetched. */
const modules: string[] = [];

/** Serves the repository under `/repo/`, the models of the tests, and an empty page. */
async function serve(headers: Record<string, string>): Promise<string> {
  const server = createServer((request, response) =>
    modelServer(request, response, () => {
      const { pathname } = new URL(request.url ?? "/", "http://server");
      if (pathname === "/")
        return response.writeHead(200, { "content-type": "text/html", ...headers }).end("<!doctype html>");
      const file = join(root, normalize(pathname.replace("/repo/", "/").replace("/moved/", "/dist/")));
      if (missing?.test(pathname) || !existsSync(file)) return response.writeHead(404, headers).end();
      if (file.endsWith(".wasm")) modules.push(pathname);
      response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", ...headers });
      return createReadStream(file).pipe(response);
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  servers.push(server);
  const address = server.address();
  return `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}/`;
}

beforeAll(async () => {
  cdn = await serve(CORS);
  app = await serve({ ...CORS, ...ISOLATION_HEADERS });
  browser = await launchChromium();
});
afterAll(async () => {
  await browser.close();
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});
afterEach(() => {
  missing = undefined;
  modules.length = 0;
  configure({});
});

/** A page of the app, without a bundler. */
async function openPage(): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(app);
  return page;
}

/** Runs a script in a page; `library` is clipwright. As text: Vitest rewrites imports in functions. */
const run = <T>(page: Page, library: string, script: string): Promise<T> =>
  page.evaluate(`(async () => { const { Clip, ClipTrainer, configure } = await import("${library}"); ${script} })()`);

/** Encodes in a page; returns the device and the warnings. */
const encode = (page: Page, origin: string, addresses = {}) =>
  run(
    page,
    `${origin}repo/dist/index.js`,
    `configure(${JSON.stringify(addresses)});
    const models = "${app}__models/addresses/models/";
    const clip = await Clip.load(models + "clip-quickgelu-p8/hf/", { device: "cpu", cache: false });
    const { shape } = await clip.encodeText(["a cat", "a dog"]);
    const { device, warnings } = clip.info;
    clip.dispose();
    return { shape, threads: device.threads, warnings };`,
  );

const threads = (page: Page) => page.evaluate(() => Math.min(8, navigator.hardwareConcurrency));

test("from a CDN, without a bundler: workers, threads and the images' worker start", async () => {
  const page = await openPage();
  const encoded = await encode(page, cdn);
  expect(encoded).toEqual({ shape: [2, 40], threads: await threads(page), warnings: [] });
  expect(modules).toEqual(["/repo/dist/wasm/encode-cpu-threads_bg.wasm"]);
  const steps = await run(
    page,
    `${cdn}repo/dist/index.js`,
    `const tower = { width: 4, layers: 1, heads: 1 };
    const vision = { imageSize: 8, patchSize: 8, ...tower };
    const trainer = await ClipTrainer.create({ device: "cpu", config: { embedDim: 4, vision, text: { contextLength: 8, ...tower } } });
    const pairs = ["red", "blue"].map((text, i) =>
      ({ text, image: { data: new Uint8Array(192).fill(99 * i), width: 8, height: 8 } }));
    let steps = 0;
    for await (const { step } of trainer.fit(pairs, { batchSize: 2, epochs: 2, augment: {} })) steps = step;
    trainer.dispose();
    return steps;`,
  );
  expect(steps).toBe(2);
  await page.close();
});

test("configure() says where files lie: a folder, or one address for a file", async () => {
  missing = /^\/repo\/dist\/(workers|wasm)/;
  const page = await openPage();
  const given = {
    workerUrl: "/moved/workers",
    wasmUrl: { "encode-cpu-threads_bg.wasm": "/moved/wasm/encode-cpu-threads_bg.wasm" },
  };
  const encoded = await encode(page, app, given);
  expect(encoded).toEqual({ shape: [2, 40], threads: await threads(page), warnings: [] });
  expect(modules).toEqual(["/moved/wasm/encode-cpu-threads_bg.wasm"]);
  await page.close();
});

test("where threads do not start, a warning says so, and their module is not downloaded", async () => {
  missing = /thread\.js$/;
  const page = await openPage();
  const encoded = await encode(page, app);
  const warning = expect.stringMatching(
    /^the CPU computes on one thread, for others do not start: the script thread\.js/,
  );
  expect(encoded).toEqual({ shape: [2, 40], threads: 1, warnings: [warning] });
  expect(modules).toEqual(["/repo/dist/wasm/encode-cpu-relaxed_bg.wasm"]);
  await page.close();
});

const model = join(root, "test/fixtures/models/clip-quickgelu-p8/hf");

test("configure() in Node takes paths, and what is not there is named", async () => {
  configure({ workerUrl: join(root, "dist/workers"), wasmUrl: join(root, "dist/wasm") });
  const clip = await Clip.load(model, { device: "cpu" });
  expect((await clip.encodeText("a cat")).shape).toEqual([1, 40]);
  clip.dispose();
  configure({ wasmUrl: join(root, "nowhere") });
  const error = await Clip.load(model, { device: "cpu" }).catch((error) => error);
  expect(error).toMatchObject({
    code: "source-unreadable",
    message: expect.stringMatching(/own .*nowhere.*encode-cpu/),
  });
  configure({ workerUrl: { "encode.node.js": join(root, "nowhere/encode.node.js") } });
  await expect(Clip.load(model, { device: "cpu" })).rejects.toMatchObject({ code: "worker-lost" });
});

test.each<[string, unknown, RegExp]>([
  ["an unknown option", { workersUrl: "/" }, /unknown option workersUrl: did you mean workerUrl\?/],
  [
    "an unknown file",
    { workerUrl: { "encoder.js": "/" } },
    /workerUrl: expected the address of a folder, or .* encode\.js/,
  ],
  ["no address", { wasmUrl: 7 }, /wasmUrl: expected the address of a folder/],
])("configure() refuses %s", (_, given, message) => {
  const refused = (() => {
    try {
      configure(given as never);
    } catch (error) {
      return error;
    }
    return undefined;
  })();
  expect(isClipError(refused)).toBe(true);
  expect(refused).toMatchObject({ code: "invalid-option", message: expect.stringMatching(message) });
});
