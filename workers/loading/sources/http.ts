/** Files on a server, read by range where it can, from the start where it cannot; broken transfers are taken up again. */

import { ClipError } from "../../protocol/error.js";
import { excerpt } from "../../protocol/excerpt.js";
import type { WireSource } from "../../protocol/load.js";
import { queryWithoutCredentials } from "./credentials.js";
import type { ReadContext, Source, SourceFile } from "./source.js";
import { readText } from "./text.js";

/** Times that a transfer is taken up again before it is given up. */
const RETRIES = 4;
/** Milliseconds before the first retry; doubles with each. */
const RETRY_DELAY = 200;
/** A text larger than this is not what was asked for. */
const MOST_TEXT_BYTES = 64 << 20;
/** A name that no server has. */
const NO_SUCH_FILE = "clipwright-asks-for-no-such-file.json";

const isPage = ({ headers }: Response) => headers.get("content-type")?.startsWith("text/html") ?? false;

const isMissing = (status: number) => status === 404 || status === 410;

/** Worth another try: the server is busy or broken, the request is not. */
const isPassing = (status: number) => status === 408 || status === 429 || status >= 500;

/** What a server says of a file. */
export interface RemoteFile {
  /** Its address, without what of the query only permits. */
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
  readonly #query: string;
  readonly #headers: Record<string, string>;
  readonly #context: ReadContext;
  readonly #sumsUrl: string | undefined;
  readonly #sums = new Map<string, Promise<Map<string, string>>>();
  readonly #texts = new Map<string, Promise<string | undefined>>();
  #nothing: Promise<{ status: number; isPage: boolean }> | undefined;

  constructor(
    { base, file, query = "", sums, headers }: Omit<Extract<WireSource, { kind: "url" }>, "kind">,
    context: ReadContext,
  ) {
    this.#sumsUrl = sums;
    this.#base = new URL(base.endsWith("/") ? base : `${base}/`);
    this.#query = query;
    this.label = this.url(file ?? "");
    this.only = file;
    this.#headers = headers;
    this.#context = context;
  }

  async list(): Promise<undefined> {
    return undefined;
  }

  async tree(): Promise<undefined> {
    return undefined;
  }

  /** Address of one of its files, as messages and the cache know it: without what of the query only permits. */
  url(name: string): string {
    return new URL(name, this.#base).href + queryWithoutCredentials(this.#query);
  }

  async #fetch(url: string, headers: Record<string, string> = {}): Promise<Response> {
    const { signal } = this.#context;
    const address = this.#query === "" ? url : url.replace(/(\?.*)?$/, () => this.#query);
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted();
      let failure: ClipError;
      try {
        const response = await fetch(address, { headers: { ...this.#headers, ...headers }, signal });
        if (!isPassing(response.status)) return response;
        await response.body?.cancel();
        failure = new ClipError("source-unreadable", `${excerpt(url)}: expected the file, got HTTP ${response.status}`);
      } catch (error) {
        signal.throwIfAborted();
        // fetch hides the reason in `cause`, and from a page says none at all
        const { message, cause } = error as Error;
        const reason = cause instanceof Error ? cause.message : message;
        failure = new ClipError("source-unreadable", `${excerpt(url)}: expected an answer, got: ${reason}`, {
          cause: error,
        });
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

  #refusePage(url: string, response: Response): void {
    if (isPage(response)) {
      const got = "a web page (text/html): does it want a login, or is this the address of a page about the file?";
      throw new ClipError("source-unreadable", `${excerpt(url)}: expected a file of a model, got ${got}`);
    }
  }

  /**
   * Whether an answer means that there is no such file: single-page apps' servers send a page with status 200 then, and S3's forbid
   * what they do not have. Such an answer is compared with that to a name that no server has.
   */
  async #isNothing(response: Response): Promise<boolean> {
    if (isMissing(response.status)) return true;
    if (response.status !== 403 && !isPage(response)) return false;
    this.#nothing ??= this.#fetch(this.url(NO_SUCH_FILE)).then(async (nothing) => {
      await nothing.body?.cancel();
      return { status: nothing.status, isPage: isPage(nothing) };
    });
    const nothing = await this.#nothing;
    return nothing.status === response.status && nothing.isPage === isPage(response);
  }

  #refuseStatus(url: string, response: Response): void {
    if (response.ok) return;
    const hint = response.status === 401 || response.status === 403 ? ": is it private?" : "";
    throw new ClipError("source-unreadable", `${excerpt(url)}: expected the file, got HTTP ${response.status}${hint}`);
  }

  text(name: string): Promise<string | undefined> {
    const text = this.#texts.get(name) ?? this.#fetchText(name);
    this.#texts.set(name, text);
    return text;
  }

  async #fetchText(name: string): Promise<string | undefined> {
    const url = this.url(name);
    const response = await this.#fetch(url);
    if (await this.#isNothing(response)) {
      await response.body?.cancel();
      return undefined;
    }
    this.#refuseStatus(url, response);
    this.#refusePage(url, response);
    const length = Number(response.headers.get("content-length") ?? 0);
    if (length > MOST_TEXT_BYTES) {
      await response.body?.cancel();
      throw new ClipError(
        "source-unreadable",
        `${excerpt(url)}: expected at most ${MOST_TEXT_BYTES} bytes, got ${length}`,
      );
    }
    let bytes: ArrayBuffer;
    try {
      bytes = await response.arrayBuffer();
    } catch (error) {
      this.#context.signal.throwIfAborted();
      const { message } = error as Error;
      throw new ClipError("source-unreadable", `${excerpt(url)}: expected the whole file, got: ${message}`, {
        cause: error,
      });
    }
    return readText(name, new Uint8Array(bytes));
  }

  /** What the server says of a file; nothing where there is none. */
  async stat(name: string): Promise<RemoteFile | undefined> {
    const url = this.url(name);
    const response = await this.#fetch(url, { Range: "bytes=0-0" });
    await response.body?.cancel();
    if (isMissing(response.status)) return undefined;
    this.#refuseStatus(url, response);
    this.#refusePage(url, response);
    const { headers } = response;
    const total = /\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1] ?? headers.get("content-length");
    // a compressed answer's length is not the file's
    const encoded = headers.get("content-encoding");
    if (total === null || (response.status !== 206 && encoded !== null && encoded !== "identity")) {
      throw new ClipError(
        "source-unreadable",
        `${excerpt(url)}: expected the server to tell the file's size, got no Content-Length`,
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
    const folder = name.slice(0, Math.max(0, name.lastIndexOf("/")));
    const sums = this.#sums.get(folder) ?? this.#fetchSums(folder);
    this.#sums.set(folder, sums);
    return (await sums).get(name);
  }

  async #fetchSums(folder: string): Promise<Map<string, string>> {
    if (this.#sumsUrl === undefined) return new Map();
    try {
      const response = await this.#fetch(folder === "" ? this.#sumsUrl : `${this.#sumsUrl}/${folder}`);
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
    this.#refusePage(file.url, response);
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
