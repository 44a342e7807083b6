/**
 * How real servers answer with a file:
 *
 * - `chunked`: without a length, whatever range is asked for (Express, `chrome-extension:`); `chunked-half`: so, and cut short;
 *   `chunked-more`: so, and with a byte too many; `endless`: without an end;
 * - `gzip`, `br`: compressed, whatever range is asked for (GCS, proxies); `deflated-name`: with a coding that nobody undoes (S3);
 * - `gzip-static`: compressed, and in parts of the compressed file (nginx's `gzip_static always`);
 * - `bomb`: few bytes that unpack to 80 MB; `no-total`: `Content-Range` with `*`;
 * - `other-range`: 206 with the start of the file; `no-range-header`: 206 without `Content-Range`; `parts`: multipart/byteranges;
 *   `refuses-ranges`: 416; `small-ranges`: at most 100,000 bytes of a range;
 * - `cut-once`: the first answer breaks after `bytes`.
 */

import { createHash } from "node:crypto";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

/** Headers by which versions of a file are told apart. */
export function versionOf({ version }, whole) {
  const tag = `"${createHash("md5").update(whole).digest("hex")}"`;
  if (version === "etag") return { etag: tag };
  if (version === "weak") return { etag: `W/${tag}` };
  // a second for every file of a hash
  const seconds = Number.parseInt(tag.slice(1, 8), 16);
  return version === "modified" ? { "last-modified": new Date(seconds * 1000).toUTCString() } : {};
}

const QUICK = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };
const TYPE = { "content-type": "application/octet-stream" };

/** Sends bytes without their length: in chunks. */
function sendChunks(response, state, bytes, end = true) {
  state.sent += bytes.length;
  response.write(bytes.subarray(0, 10));
  response.write(bytes.subarray(10));
  if (end) response.end();
}

function sendWhole(response, state, bytes, headers = {}) {
  state.sent += bytes.length;
  response.writeHead(200, { ...TYPE, "content-length": bytes.length, ...headers });
  response.end(bytes);
}

const rangeOf = ({ headers }, size) => {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "") ?? [];
  return from === undefined ? undefined : [Number(from), Math.min(size, to ? Number(to) + 1 : size)];
};

function sendRange(response, state, bytes, [from, to], headers) {
  state.sent += to - from;
  response.writeHead(206, { ...TYPE, "content-length": to - from, ...headers });
  response.end(bytes.subarray(from, to));
}

const chunked = (change) => (_, response, state, whole) => {
  response.writeHead(200, { ...TYPE, ...versionOf(state, whole) });
  sendChunks(response, state, change(whole));
};

/** Answers ranges with `change`, and other requests with the whole file. */
const ranges = (change) => (request, response, state, whole) => {
  const range = rangeOf(request, whole.length);
  const version = versionOf(state, whole);
  if (range) change(response, state, whole, range, version);
  else sendWhole(response, state, whole, version);
};

export const ANSWERS = {
  chunked: chunked((whole) => whole),
  "chunked-half": chunked((whole) => whole.subarray(0, whole.length >> 1)),
  "chunked-more": chunked((whole) => Buffer.concat([whole, Buffer.from("!")])),
  endless(_, response, state, whole) {
    response.writeHead(200, { ...TYPE, ...versionOf(state, whole) });
    sendChunks(response, state, whole, false);
    const more = Buffer.alloc(1 << 20, " ");
    const write = () => {
      while (!response.destroyed) {
        state.sent += more.length;
        if (!response.write(more)) return;
      }
    };
    response.on("drain", write);
    response.on("close", () => state.closed++);
    write();
  },
  gzip: (_, response, state, whole) =>
    sendWhole(response, state, gzipSync(whole), { "content-encoding": "gzip", ...versionOf(state, whole) }),
  br: (_, response, state, whole) =>
    sendWhole(response, state, brotliCompressSync(whole, QUICK), {
      "content-encoding": "br",
      ...versionOf(state, whole),
    }),
  "deflated-name": ranges((response, state, whole, [from, to], version) =>
    sendRange(response, state, whole, [from, to], {
      "content-encoding": "aws-chunked",
      "content-range": `bytes ${from}-${to - 1}/${whole.length}`,
      ...version,
    }),
  ),
  "gzip-static"(request, response, state, whole) {
    const packed = gzipSync(whole);
    const headers = { "content-encoding": "gzip", ...versionOf(state, whole) };
    const range = rangeOf(request, packed.length);
    if (!range) return sendWhole(response, state, packed, headers);
    const [from, to] = range;
    sendRange(response, state, packed, range, {
      "content-range": `bytes ${from}-${to - 1}/${packed.length}`,
      ...headers,
    });
  },
  bomb: (_, response, state) =>
    sendWhole(response, state, gzipSync(Buffer.alloc(80 << 20, " ")), { "content-encoding": "gzip" }),
  "no-total": ranges((response, state, whole, [from, to], version) =>
    sendRange(response, state, whole, [from, to], { "content-range": `bytes ${from}-${to - 1}/*`, ...version }),
  ),
  "other-range": ranges((response, state, whole, [from, to], version) =>
    sendRange(response, state, whole, [0, to - from], {
      "content-range": `bytes 0-${to - from - 1}/${whole.length}`,
      ...version,
    }),
  ),
  "no-range-header": ranges((response, state, whole, [from, to], version) =>
    sendRange(response, state, whole, [0, to - from], version),
  ),
  parts: ranges((response, state, whole, [from, to], version) => {
    const part = `\r\n--X\r\ncontent-range: bytes ${from}-${to - 1}/${whole.length}\r\n\r\n`;
    const body = Buffer.concat([Buffer.from(part), whole.subarray(from, to), Buffer.from("\r\n--X--")]);
    sendRange(response, state, body, [0, body.length], {
      "content-type": "multipart/byteranges; boundary=X",
      ...version,
    });
  }),
  "refuses-ranges": ranges((response, _, whole) => {
    response.writeHead(416, { "content-range": `bytes */${whole.length}` });
    response.end();
  }),
  "small-ranges": ranges((response, state, whole, [from, to], version) => {
    const end = Math.min(to, from + 100_000);
    sendRange(response, state, whole, [from, end], {
      "content-range": `bytes ${from}-${end - 1}/${whole.length}`,
      ...version,
    });
  }),
  "cut-once"(request, response, state, whole) {
    state.mode = "plain";
    response.writeHead(200, { ...TYPE, "content-length": whole.length, ...versionOf(state, whole) });
    response.write(whole.subarray(0, state.bytes), () => setTimeout(() => request.socket.destroy(), 100));
  },
};
