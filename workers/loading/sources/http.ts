/** Files on a server: read by range if the server can, resumed if a transfer breaks off. */

import { ClipError } from "../../protocol/error.js";
import type { WireSource } from "../../protocol/load.js";
import { queryWithoutCredentials } from "./credentials.js";
import { checkIsFile, HttpClient, isMissing, isPage, RETRIES, unreadable } from "./http-client.js";
import { HubSums } from "./hub-sums.js";
import type { ReadContext, Source, SourceFile } from "./source.js";
import { readText } from "./text.js";

/** Bytes of the largest text that is read. */
const MAX_TEXT_BYTES = 64 << 20;
/** A name that no server has. */
const NO_SUCH_FILE = "clipwright-asks-for-no-such-file.json";

/** What a server says about a file. */
export interface RemoteFile {
  /** Its URL without credentials. */
  url: string;
  size: number;
  /** Changes when the file does. */
  etag: string | undefined;
  /** SHA-256 in hexadecimal, if the server names it. */
  sha256: string | undefined;
}

/** A folder on a server. */
export class HttpSource implements Source {
  readonly label: string;
  readonly only: string | undefined;
  readonly #client: HttpClient;
  readonly #base: URL;
  readonly #query: string;
  readonly #sums: HubSums | undefined;
  readonly #texts = new Map<string, Promise<string | undefined>>();
  #missingFile: Promise<{ status: number; isPage: boolean }> | undefined;

  constructor(
    { base, file, query = "", sums, headers }: Omit<Extract<WireSource, { kind: "url" }>, "kind">,
    context: ReadContext,
  ) {
    this.#client = new HttpClient(headers, query, context);
    this.#base = new URL(base.endsWith("/") ? base : `${base}/`);
    this.#query = query;
    this.#sums = sums === undefined ? undefined : new HubSums(this.#client, sums);
    this.label = this.url(file ?? "");
    this.only = file;
  }

  async list(): Promise<undefined> {
    return undefined;
  }

  async tree(): Promise<undefined> {
    return undefined;
  }

  /** Returns the URL of a file without credentials, as the cache and messages name it. */
  url(name: string): string {
    return new URL(name, this.#base).href + queryWithoutCredentials(this.#query);
  }

  /**
   * Whether an answer means that there is no such file. Servers of single-page apps send a page with status 200 then, and
   * S3 answers 403: such an answer is compared with the one to a name that no server has.
   */
  async #isMissing(response: Response): Promise<boolean> {
    if (isMissing(response.status)) return true;
    if (response.status !== 403 && !isPage(response)) return false;
    this.#missingFile ??= this.#client.fetch(this.url(NO_SUCH_FILE)).then(async (missing) => {
      await missing.body?.cancel();
      return { status: missing.status, isPage: isPage(missing) };
    });
    const missing = await this.#missingFile;
    return missing.status === response.status && missing.isPage === isPage(response);
  }

  text(name: string): Promise<string | undefined> {
    const text = this.#texts.get(name) ?? this.#fetchText(name);
    this.#texts.set(name, text);
    return text;
  }

  async #fetchText(name: string): Promise<string | undefined> {
    const url = this.url(name);
    const response = await this.#client.fetch(url);
    if (await this.#isMissing(response)) {
      await response.body?.cancel();
      return undefined;
    }
    checkIsFile(url, response);
    const length = Number(response.headers.get("content-length") ?? 0);
    if (length > MAX_TEXT_BYTES) {
      await response.body?.cancel();
      throw unreadable(url, `expected at most ${MAX_TEXT_BYTES} bytes, got ${length}`);
    }
    let bytes: ArrayBuffer;
    try {
      bytes = await response.arrayBuffer();
    } catch (error) {
      this.#client.throwIfAborted();
      throw unreadable(url, `the transfer broke off: ${(error as Error).message}`, error);
    }
    return readText(name, new Uint8Array(bytes));
  }

  /** Asks the server about a file; `undefined` if there is none. */
  async stat(name: string): Promise<RemoteFile | undefined> {
    const url = this.url(name);
    const response = await this.#client.fetch(url, { Range: "bytes=0-0" });
    await response.body?.cancel();
    if (isMissing(response.status)) return undefined;
    checkIsFile(url, response);
    const { headers } = response;
    const total = /\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1] ?? headers.get("content-length");
    // the length of a compressed answer is not the file's
    const encoding = headers.get("content-encoding");
    if (total === null || (response.status !== 206 && encoding !== null && encoding !== "identity")) {
      throw unreadable(url, "the server does not tell the file's size: it sends no Content-Length");
    }
    // an ETag may be anything; the Hub documents this one to be the SHA-256
    const linked = headers.get("x-linked-etag");
    return {
      url,
      size: Number(total),
      etag: linked ?? headers.get("etag") ?? undefined,
      sha256: /^"?([0-9a-f]{64})"?$/.exec(linked ?? "")?.[1],
    };
  }

  /** Returns a file's SHA-256 as the Hub lists it; `undefined` if it does not. */
  async sum(name: string): Promise<string | undefined> {
    return this.#sums?.get(name);
  }

  async open(name: string): Promise<SourceFile | undefined> {
    const file = await this.stat(name);
    return file && { name, size: file.size, stream: (begin, end) => this.stream(file, begin, end) };
  }

  /** Reads the bytes `[begin, end)` of a file, in pieces as they arrive. */
  async *stream(file: RemoteFile, begin: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    let at = begin;
    for (let failures = 0; at < end; ) {
      const before = at;
      try {
        for await (const piece of this.#streamOnce(file, at, end)) {
          at += piece.length;
          yield piece;
        }
      } catch (error) {
        this.#client.throwIfAborted();
        if (error instanceof ClipError) throw error;
      }
      if (at >= end) return;
      // the connection broke or was closed early: resume
      failures = at > before ? 0 : failures + 1;
      if (failures > RETRIES) throw unreadable(file.url, `the transfer broke off at byte ${at} of ${end}`);
      await this.#client.wait(failures);
    }
  }

  async *#streamOnce(file: RemoteFile, begin: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    const isWhole = begin === 0 && end === file.size;
    const response = await this.#client.fetch(file.url, isWhole ? {} : { Range: `bytes=${begin}-${end - 1}` });
    checkIsFile(file.url, response);
    if (!response.body) return;
    // a server without ranges sends the file from its start
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
      // ends the transfer if the server sends more than was asked for
      await reader.cancel().catch(() => undefined);
    }
  }
}
