/** Pages in headless Chromium, and the static servers below them. */

import { once } from "node:events";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, relative, sep } from "node:path";
import { gzipSync } from "node:zlib";
import { chromium } from "playwright";
import { CHROMIUM_FLAGS, ISOLATION_HEADERS } from "../../scripts/chromium.mjs";
import { DATA, temporaryFolder } from "./project.mjs";

const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** Time until a page shows its answer. */
const LIMIT_MS = 90_000;
/** A label and its embedding, as `shared/label.js` writes them. */
const ANSWER = /\b(cat|dog|bird) (-?\d[\d.e-]*(?:,-?\d[\d.e-]*)+)/;

/** The answer in a text; undefined without one. */
export function answerIn(text) {
  const [, label, values] = ANSWER.exec(text) ?? [];
  return label === undefined ? undefined : { label, embedding: values.split(",").map(Number) };
}

/** A file below a folder, or of the data that every page may fetch. */
function read(folder, path) {
  const [, first, ...rest] = path.split("/");
  for (const file of [join(folder, path), DATA[first] && join(DATA[first], ...rest)]) {
    if (file && statSync(file, { throwIfNoEntry: false })?.isFile()) return readFileSync(file);
  }
  return undefined;
}

/** Serves a folder. `fetched` lists the files of the package that went out, without the model and the photo. */
export async function serveFolder(folder, { isolated = false } = {}) {
  const fetched = new Map();
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://server");
    const path = normalize(decodeURIComponent(pathname === "/" ? "/index.html" : pathname));
    const body = read(folder, path);
    response.writeHead(body ? 200 : 404, {
      "content-length": body?.length ?? 0,
      "content-type": TYPES[extname(path)] ?? "application/octet-stream",
      // as CDNs answer
      "access-control-allow-origin": "*",
      "cross-origin-resource-policy": "cross-origin",
      ...(isolated && ISOLATION_HEADERS),
    });
    response.end(body);
    if (body && !(path.split("/")[1] in DATA)) fetched.set(path, body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    fetched,
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}

const gzipped = (files) => files.reduce((sum, body) => sum + gzipSync(body, { level: 9 }).length, 0);

/** Bytes that a page fetched, compressed: scripts, and Wasm modules. */
export function downloads(fetched) {
  const of = (extension) => [...fetched].filter(([path]) => path.endsWith(extension)).map(([, body]) => body);
  return { scripts: gzipped(of(".js")), wasm: gzipped(of(".wasm")) };
}

/** Files of a folder that is deployed, and their bytes, without the model and the photo. */
export function deployed(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = entries.map((entry) => relative(folder, join(entry.parentPath, entry.name)));
  const own = paths.filter((path) => !(path.split(sep)[0] in DATA));
  return new Map(own.map((path) => [path, statSync(join(folder, path)).size]));
}

const executable = () => (process.env.CHROMIUM_PATH ? { executablePath: process.env.CHROMIUM_PATH } : {});

export const launch = () => chromium.launch({ ...executable(), args: CHROMIUM_FLAGS });

/** Waits for a page's answer; throws with what the page reported. */
async function answerOf(page, reports) {
  const begin = Date.now();
  while (Date.now() - begin < LIMIT_MS) {
    const answer = answerIn(await page.evaluate(() => document.body?.textContent ?? "").catch(() => ""));
    if (answer) return answer;
    if (reports.some((report) => /^error: |^\d+ .*\.js$/.test(report))) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const text = await page.evaluate(() => document.body?.textContent ?? "").catch(() => "");
  throw new Error(["the page shows no label", ...reports, text.slice(0, 2000)].join("\n"));
}

/** Collects a page's errors and what it could not load. */
function listen(page) {
  const reports = [];
  page.on("pageerror", (error) => reports.push(`error: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") reports.push(`console: ${message.text()}`);
  });
  page.on("response", (response) => {
    if (response.status() >= 400 && !response.url().endsWith("favicon.ico"))
      reports.push(`${response.status()} ${response.url()}`);
  });
  return reports;
}

/** Opens an address in a profile of its own. */
export async function visit(browser, address) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const reports = listen(page);
    await page.goto(address);
    return await answerOf(page, reports);
  } finally {
    await context.close();
  }
}

/** Opens the page of an unpacked extension; with `panel`, clicks its button, which opens the side panel. */
export async function visitExtension(folder, path, panel) {
  const profile = temporaryFolder("profile");
  const context = await chromium.launchPersistentContext(profile.folder, {
    ...executable(),
    args: [...CHROMIUM_FLAGS, `--disable-extensions-except=${folder}`, `--load-extension=${folder}`],
    ignoreDefaultArgs: ["--disable-extensions"],
  });
  try {
    const [background] = context.serviceWorkers();
    const worker = background ?? (await context.waitForEvent("serviceworker", { timeout: LIMIT_MS }));
    const page = await context.newPage();
    const reports = listen(page);
    await page.goto(`chrome-extension://${new URL(worker.url()).host}/${path}`);
    // a click, because panels open for their users alone
    if (panel) await page.getByRole("button").click();
    return await answerOf(page, reports);
  } finally {
    await context.close();
    profile.remove();
  }
}
