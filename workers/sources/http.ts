/** Files on a server, read by range where it can, from the start where it cannot; broken transfers are taken up again. */

import { ClipError } from "../error.js";
import type { ReadContext, Source, SourceFile } from "./source.js";

/** Times that a transfer is taken up again before it is given up. */
const RETRIES = 4;
/** Milliseconds before the first retry; doubles with each. */
const RETRY_DELAY = 200;
/** A text larger than this is not what was asked for. */
const MOST_TEXT_BYTES = 64 << 20;

const isMissing = (status: number) => status === 404 || status === 410;

/** Worth another try: the server is busy or broken, the request is not. */
const isPassing = (status: number) => status === 408 || status === 429 || status >= 500;

/** What a server says of a file. */
export interface RemoteFile {
  url: string;
  size: number;
  /** Changes when the file does. */
  etag: string | undefined;
  /** SHA-256 that the server promises with the file, in hexadecimal. */
  sha256: string | undefined;
}

/** Reads from one server folder. */
export class HttpSource implements Source {
  readonly label: string;
  readonly only: string | undefined;
  readonly #base: URL;
  readonly #headers: Record<string, string>;
  readonly #context: ReadContext;
  readonly #sumsUrl: string | undefined;
  #sums: Promise<Map<string, string>> | undefined;

  constructor(
    { base, file, sums, headers }: { base: string; file?: string; sums?: string; headers: Record<string, string> },
    context: ReadContext,
  ) {
    this.#sumsUrl = sums;
    this.#base = new URL(base.endsWith("/") ? base : `${base}/`);
    this.label = this.#base.href + (file ?? "");
    this.only = file;
    this.#headers = headers;
    this.#context = context;
  }

  async list(): Promise<undefined> {
    return undefined;
  }

  /** Address of one of its files. */
  url(name: string): string {
    return new URL(name, this.#base).href;
  }

  async #fetch(url: string, headers: Record<string, string> = {}): Promise<Response> {
    const { signal } = this.#context;
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted();
      let failure: ClipError;
      try {
        const response = await fetch(url, { headers: { ...this.#headers, ...headers }, signal });
        if (!isPassing(response.status)) return response;
        await response.body?.cancel();
        failure = new ClipError("source-unreadable", `${url}: expected the file, got HTTP ${response.status}`);
      } catch (error) {
        signal.throwIfAborted();
        // fetch hides the reason in `cause`, and from a page says none at all
        const { message, cause } = error as Error;
        const reason = cause instanceof Error ? cause.message : message;
        failure = new ClipError("source-unreadable", `${url}: expected an answer, got: ${reason}`, { cause: error });
        // too many redirects, a refused connection: no better the next time
        if (/redirect|ECONNREFUSED|ENOTFOUND/i.test(reason)) throw failure;
      }
      if (attempt === RETRIES) throw failure;
      await this.#wait(RETRY_DELAY * 2 ** attempt);
    }
  }

  #wait(milliseconds: number): Promise<void> {
    const { signal } = this.#context;
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      }, milliseconds);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** A page that says "not found" with status 200, as single-page apps' servers do. */
  #refuseHtml(url: string, response: Response): void {
    if (response.headers.get("content-type")?.startsWith("text/html")) {
      throw new ClipError("source-unreadable", `${url}: expected a file of a model, got a web page (text/html)`);
    }
  }

  #refuseStatus(url: string, response: Response): void {
    if (response.ok) return;
    const hint = response.status === 401 || response.status === 403 ? ": is it private?" : "";
    throw new ClipError("source-unreadable", `${url}: expected the file, got HTTP ${response.status}${hint}`);
  }

  async text(name: string): Promise<string | undefined> {
    const url = this.url(name);
    const response = await this.#fetch(url);
    if (isMissing(response.status) || response.headers.get("content-type")?.startsWith("text/html")) {
      await response.body?.cancel();
      return undefined;
    }
    this.#refuseStatus(url, response);
    const length = Number(response.headers.get("content-length") ?? 0);
    if (length > MOST_TEXT_BYTES) {
      await response.body?.cancel();
      throw new ClipError("source-unreadable", `${url}: expected at most ${MOST_TEXT_BYTES} bytes, got ${length}`);
    }
    try {
      return await response.text();
    } catch (error) {
      this.#context.signal.throwIfAborted();
      const { message } = error as Error;
      throw new ClipError("source-unreadable", `${url}: expected the whole file, got: ${message}`, { cause: error });
    }
  }

  /** What the server says of a file; nothing where there is none. */
  async stat(name: string): Promise<RemoteFile | undefined> {
    const url = this.url(name);
    const response = await this.#fetch(url, { Range: "bytes=0-0" });
    await response.body?.cancel();
    if (isMissing(response.status)) return undefined;
    this.#refuseStatus(url, response);
    this.#refuseHtml(url, response);
    const { headers } = response;
    const total = /\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1] ?? headers.get("content-length");
    // a compressed answer's length is not the file's
    const encoded = headers.get("content-encoding");
    if (total === null || (response.status !== 206 && encoded !== null && encoded !== "identity")) {
      throw new ClipError(
        "source-unreadable",
        `${url}: expected the server to tell the file's size, got no Content-Length`,
      );
    }
    // an ETag may be any number; this one of the Hub's is documented to be the sum
    const linked = headers.get("x-linked-etag");
    return {
      url,
      size: Number(total),
      etag: linked ?? headers.get("etag") ?? undefined,
      sha256: /^"?([0-9a-f]{64})"?$/.exec(linked ?? "")?.[1],
    };
  }

  /** SHA-256 of a file as the Hub lists it; nothing where it does not. */
  async sum(name: string): Promise<string | undefined> {
    this.#sums ??= this.#fetchSums();
    return (await this.#sums).get(name);
  }

  async #fetchSums(): Promise<Map<string, string>> {
    if (this.#sumsUrl === undefined) return new Map();
    try {
      const response = await this.#fetch(this.#sumsUrl);
      const list = (await response.json()) as { path: string; lfs?: { oid?: string } }[];
      return new Map(list.flatMap(({ path, lfs }) => (lfs?.oid ? [[path, lfs.oid] as const] : [])));
    } catch {
      // a mirror that has no list: the sum is then only computed
      this.#context.signal.throwIfAborted();
      return new Map();
    }
  }

  async open(name: string): Promise<SourceFile | undefined> {
    const file = await this.stat(name);
    return file && { name, size: file.size, stream: (begin, end) => this.stream(file, begin, end) };
  }

  /** Bytes of a file, in pieces as they come. */
  async *stream(file: RemoteFile, begin: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    let at = begin;
    for (let failures = 0; at < end; ) {
      const before = at;
      try {
        for await (const piece of this.#once(file, at, end)) {
          at += piece.length;
          yield piece;
        }
      } catch (error) {
        this.#context.signal.throwIfAborted();
        if (error instanceof ClipError) throw error;
      }
      if (at >= end) return;
      // the connection broke, or closed too soon
      failures = at > before ? 0 : failures + 1;
      if (failures > RETRIES) {
        throw new ClipError("source-unreadable", `${file.url}: expected ${end} bytes, got ${at} and then no more`);
      }
      await this.#wait(RETRY_DELAY * 2 ** failures);
    }
  }

  async *#once(file: RemoteFile, begin: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    const whole = begin === 0 && end === file.size;
    const response = await this.#fetch(file.url, whole ? {} : { Range: `bytes=${begin}-${end - 1}` });
    this.#refuseStatus(file.url, response);
    this.#refuseHtml(file.url, response);
    if (!response.body) return;
    // without ranges the file comes from its start
    let skip = response.status === 206 ? 0 : begin;
    let left = end - begin;
    const reader = response.body.getReader();
    try {
      while (left > 0) {
        const { value, done } = await reader.read();
        if (done) return;
        const piece = value.subarray(Math.min(skip, value.length));
        skip -= value.length - piece.length;
        const wanted = piece.subarray(0, Math.min(left, piece.length));
        left -= wanted.length;
        if (wanted.length > 0) yield wanted;
      }
    } finally {
      // what was not asked for is not fetched
      await reader.cancel().catch(() => undefined);
    }
  }
}
