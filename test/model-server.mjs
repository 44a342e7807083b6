/**
 * A server of the fixtures that misbehaves on request, for Node and, as Vite's middleware, for the browser.
 *
 * `/__models/<session>/set?…` sets how the session's files are served from then on:
 * - `mode`: `plain`; `no-ranges`; `cut` (every connection breaks after `bytes`); `slow` (`bytes` every 50 ms); `busy`
 *   (503, twice, then plain); `error` (500); `missing` (404); `html`; `loop` (redirects to itself); `down` (no answer);
 *   `signed` (403 without a `token` in the query); `login` (a web page in place of `tokenizer.json`);
 *   `forbids` and `html-for-nothing` (403, or a web page, in place of missing
 *   files); `short` (files end half-way, with that length); `wrong-sum` (declares another SHA-256); `wrong-list` (as a Hub, lists another);
 *   or one of `server-answers.mjs`, for names that contain `only`;
 * - `version`: what tells versions of a file apart: `etag`, `weak`, `modified` or `none`;
 * - `to`: the base that mode `redirect` redirects to.
 *
 * `/__models/<session>/put/<path>` uploads a file to the session. `/__models/<session>/stats` returns what was sent.
 * Other paths are below `test/fixtures`.
 */

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { ANSWERS, versionOf } from "./server-answers.mjs";

const FIXTURES = fileURLToPath(new URL("./fixtures", import.meta.url));
const PREFIX = "/__models/";

const sessions = new Map();

function session(name) {
  if (!sessions.has(name))
    sessions.set(name, {
      mode: "plain",
      bytes: 0,
      only: "",
      version: "etag",
      to: "",
      sent: 0,
      requests: [],
      headers: {},
      closed: 0,
      busy: 2,
      own: new Map(),
    });
  return sessions.get(name);
}

/** Answers requests of its own, and passes on others. */
export function modelServer(request, response, next) {
  const url = new URL(request.url, "http://server");
  if (!url.pathname.startsWith(PREFIX)) return next?.();
  response.setHeader("Access-Control-Allow-Origin", "*");
  response.setHeader("Cross-Origin-Resource-Policy", "cross-origin");
  const [name, ...rest] = url.pathname.slice(PREFIX.length).split("/");
  const state = session(name);
  const path = decodeURIComponent(rest.join("/"));
  const text = (status, body, type = "text/plain") => {
    response.writeHead(status, { "content-type": type });
    response.end(body);
  };
  if (path === "set") {
    for (const [key, value] of url.searchParams) state[key] = typeof state[key] === "number" ? Number(value) : value;
    return text(200, "ok");
  }
  if (path === "stats") {
    const { sent, requests, closed, headers } = state;
    return text(200, JSON.stringify({ sent, requests, closed, headers }), "application/json");
  }
  if (path.startsWith("put/") && request.method === "PUT") {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      state.own.set(path.slice("put/".length), Buffer.concat(pieces));
      text(200, "ok");
    });
    return;
  }
  state.requests.push(path);
  state.headers = request.headers;
  if (state.mode === "redirect") {
    response.writeHead(302, { location: `${state.to}${rest.join("/")}?signature=of-the-cdn` });
    return response.end();
  }
  if (state.mode === "signed" && !url.searchParams.get("token")) return text(403, "no token");
  if (state.mode === "login" && path.endsWith("tokenizer.json")) return text(200, "<html>Log in</html>", "text/html");
  const tree = /^models\/api\/models\/(.+)\/tree\//.exec(path);
  if (tree) return text(200, hubTree(tree[1], state.mode === "wrong-list"), "application/json");
  if (state.mode === "down") return request.socket.destroy();
  if (state.mode === "error") return text(500, "broken");
  if (state.mode === "busy" && state.busy-- > 0) return text(503, "busy");
  if (state.mode === "missing") return text(404, "nothing here");
  if (state.mode === "html") return text(200, "<!doctype html><title>App</title>", "text/html; charset=utf-8");
  if (state.mode === "loop") {
    response.writeHead(302, { location: url.pathname });
    return response.end();
  }
  // a Hub's address of a file: <folder>/resolve/<revision>/<file>
  const plain = decodeURIComponent(rest.join("/").replace(/resolve\/[^/]+\//, "")).replace(
    /^laion\/CLIP-ViT-B-32-laion2B-s34B-b79K/,
    "models/clip-quickgelu-p8/hf",
  );
  const file = join(FIXTURES, normalize(`/${plain}`));
  let bytes = state.own.get(path);
  try {
    bytes ??= readFileSync(file);
  } catch {
    if (state.mode === "forbids") return text(403, "<Error><Code>AccessDenied</Code></Error>", "application/xml");
    if (state.mode === "html-for-nothing") return text(200, "<!doctype html><title>App</title>", "text/html");
    return text(404, "nothing here");
  }
  serve(request, response, state, bytes, path);
}

/** The Hub's list of a repository's files: those in LFS have a sum. */
function hubTree(folder, wrong) {
  const file = join(FIXTURES, normalize(`/models/${folder}/model.safetensors`));
  if (!existsSync(file)) return "[]";
  const bytes = readFileSync(file);
  const oid = wrong ? "0".repeat(64) : createHash("sha256").update(bytes).digest("hex");
  return JSON.stringify([{ path: "config.json" }, { path: "model.safetensors", lfs: { oid, size: bytes.length } }]);
}

function serve(request, response, state, whole, path) {
  const answer = path.includes(state.only) ? ANSWERS[state.mode] : undefined;
  if (answer) return answer(request, response, state, whole);
  const bytes = state.mode === "short" ? whole.subarray(0, Math.floor(whole.length / 2)) : whole;
  const range = state.mode === "no-ranges" ? null : /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  const [from, to] = range ? [Number(range[1]), Math.min(bytes.length, Number(range[2]) + 1)] : [0, bytes.length];
  response.writeHead(range ? 206 : 200, {
    "content-type": "application/octet-stream",
    "content-length": to - from,
    ...versionOf(state, whole),
    ...(range && { "content-range": `bytes ${from}-${to - 1}/${bytes.length}` }),
    ...(state.mode === "wrong-sum" && { "x-linked-etag": `"${"0".repeat(64)}"` }),
  });
  const body = bytes.subarray(from, to);
  response.on("close", () => {
    if (!response.writableFinished) state.closed++;
  });
  if (state.mode === "cut" && body.length > state.bytes) {
    state.sent += state.bytes;
    // later: a browser discards bytes that it has received but the reader has not
    return response.write(body.subarray(0, state.bytes), () => setTimeout(() => request.socket.destroy(), 100));
  }
  if (state.mode === "slow") {
    let at = 0;
    const timer = setInterval(() => {
      if (response.destroyed) return clearInterval(timer);
      const piece = body.subarray(at, at + state.bytes);
      at += piece.length;
      state.sent += piece.length;
      response.write(piece);
      if (at >= body.length) {
        clearInterval(timer);
        response.end();
      }
    }, 50);
    return;
  }
  state.sent += body.length;
  response.end(body);
}
