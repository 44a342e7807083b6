/** Files on a server: read by range if the server can, resumed if a transfer breaks off. */

import { decodeEscapes, encodePath } from "../../protocol/address.js";
import { ClipError } from "../../protocol/error.js";
import type { WireSource } from "../../protocol/load.js";
import { queryWithoutCredentials } from "./credentials.js";
import { declaredSize } from "./declared-size.js";
import { checkIsFile, HttpClient, isMissing, isPage, RETRIES, unreadable } from "./http-client.js";
import { HubSums } from "./hub-sums.js";
import { readBody, TooLong } from "./read-body.js";
import { Answer, differs, FileChanged, hasVersion, type RemoteFile } from "./remote-file.js";
import type { ReadContext, Source, SourceFile } from "./source.js";
import { readText } from "./text.js";

/** Bytes of the largest text that is read. */
const MAX_TEXT_BYTES = 64 << 20;
/** A name that no server has. */
const NO_SUCH_FILE = "clipwright-asks-for-no-such-file.json";

/** A folder on a server. */
export class HttpSource implements Source {
  readonly label: string;
  readonly only: string | undefined;
  /** Why the server may have kept a file back: it answers so to any name that it does not have, too. */
  refusal: ClipError | undefined;
  readonly #client: HttpClient;
  readonly #base: URL;
  /** The name of the only file, as the address spells it: a signature may hold for this spelling alone. */
  readonly #file: string | undefined;
  readonly #query: string;
  readonly #sums: HubSums | undefined;
  readonly #texts = new Map<string, Promise<string | undefined>>();
  #missingFile: Promise<{ status: number; isPage: boolean }> | undefined;

  constructor(
    { base, file, query = "", sums, headers }: Omit<Extract<WireSource, { kind: "url" }>, "kind">,
    context: ReadContext,
    cache?: RequestCache,
  ) {
    this.#client = new HttpClient({ headers, query, cache }, context);
    this.#base = new URL(base.endsWith("/") ? base : `${base}/`);
    this.#file = file;
    this.#query = query;
    this.#sums = sums === undefined ? undefined : new HubSums(this.#client, sums);
    this.only = file === undefined ? undefined : decodeEscapes(file);
    this.label = this.url(this.only ?? "");
  }

  async list(): Promise<undefined> {
    return undefined;
  }

  async tree(): Promise<undefined> {
    return undefined;
  }

  /** Returns the URL of a file without credentials, as the cache and messages name it. */
  url(name: string): string {
    const path = this.#file !== undefined && name === this.only ? this.#file : encodePath(name);
    return new URL(`./${path}`, this.#base).href + queryWithoutCredentials(this.#query);
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
    for (let attempt = 0; ; attempt++) {
      const response = await this.#client.fetch(url);
      if (await this.#isMissing(response)) {
        await response.body?.cancel();
        return undefined;
      }
      checkIsFile(url, response);
      let bytes: Uint8Array;
      try {
        bytes = await readBody(response, MAX_TEXT_BYTES);
      } catch (error) {
        this.#client.throwIfAborted();
        const { message } = error as Error;
        if (error instanceof TooLong) throw unreadable(url, message);
        if (attempt === RETRIES) throw unreadable(url, `the transfer broke off: ${message}`, error);
        await this.#client.wait(attempt);
        continue;
      }
      return readText(name, bytes);
    }
  }

  /** Asks the server about a file; `undefined` if there is none. */
  async stat(name: string): Promise<RemoteFile | undefined> {
    const url = this.url(name);
    const { response, answer, isPlain } = await this.#request(url, 0, 1);
    // the body that was not asked for need not arrive
    await response.body?.cancel();
    if (await this.#isMissing(response)) {
      if (!isMissing(response.status)) this.refusal ??= refusalOf(url, response);
      return undefined;
    }
    checkIsFile(url, response);
    const { etag, modified, sha256, size } = answer;
    const file: RemoteFile = { url, size: size ?? Number.POSITIVE_INFINITY, etag, modified, sha256, isPlain };
    if (size !== undefined) return file;
    const declared = await declaredSize(name, this.stream(file, 0, file.size));
    return { ...file, size: declared, isDeclared: true };
  }

  /** Returns a file's SHA-256 as the Hub lists it; `undefined` if it does not. */
  async sum(name: string): Promise<string | undefined> {
    return this.#sums?.get(name);
  }

  async open(name: string): Promise<SourceFile | undefined> {
    const file = await this.stat(name);
    return file && { name, size: file.size, stream: (begin, end) => this.stream(file, begin, end) };
  }

  /**
   * Reads the bytes `[begin, end)` of a file, in pieces as they arrive; without an end if that is infinite.
   *
   * @throws FileChanged, and ClipError `source-unreadable`
   */
  async *stream(file: RemoteFile, begin: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    let at = begin;
    let ended: number | undefined;
    for (let failures = 0; at < end; ) {
      const before = at;
      let isBroken = false;
      let isRest = false;
      try {
        const { response, answer, isPlain } = await this.#request(file.url, at, end, file.isPlain);
        file.isPlain = isPlain;
        isRest = response.status !== 206;
        for await (const piece of readAnswer(response, answer, file, at, end)) {
          at += piece.length;
          yield piece;
        }
      } catch (error) {
        this.#client.throwIfAborted();
        if (error instanceof ClipError) throw error;
        isBroken = true;
      }
      if (at >= end) return;
      if (end === Number.POSITIVE_INFINITY && !isBroken && (isRest || ended === at)) return;
      if (at > begin && !hasVersion(file)) {
        const why = "and the server names no version (ETag or Last-Modified) by which the rest could be recognised";
        throw new FileChanged(file.url, `the transfer broke off at byte ${at} of ${end}, ${why}`);
      }
      // complete as the server says, twice: nothing more will come
      if (!isBroken && ended === at) throw unreadable(file.url, `truncated: the answer ends at byte ${at} of ${end}`);
      if (!isBroken) ended = at;
      // some servers send no more than so many bytes of a range
      if (!isBroken && at > before) continue;
      // the connection broke or was closed early: resume
      failures = at > before ? 0 : failures + 1;
      if (failures > RETRIES && file.isPlain)
        throw unreadable(file.url, `the transfer broke off at byte ${at} of ${end}`);
      // to Firefox a part of a compressed file is a transfer that breaks off
      if (failures > RETRIES) [file.isPlain, failures] = [true, 0];
      await this.#client.wait(failures);
    }
  }

  /**
   * Requests the bytes `[begin, end)`; the whole file where the server's answers to ranges are of no use. Without the browser's own
   * cache: it would keep a model twice, and Chromium's joins ranges of two versions if the server ignores `If-Range`.
   */
  async #request(url: string, begin: number, end: number, isPlain = false): Promise<RangeAnswer> {
    const cache = "no-store";
    let isUnanswered = false;
    if (!isPlain) {
      // also for a whole file: the answer is then not compressed, and its ETag is the same as those of its parts
      const headers = { Range: `bytes=${begin}-${end === Number.POSITIVE_INFINITY ? "" : end - 1}` };
      const response = await this.#client.fetch(url, { headers, cache, retries: 1 }).catch((error) => {
        this.#client.throwIfAborted();
        // browsers refuse a compressed answer to a request of a range
        if (error.cause === undefined) throw error;
        isUnanswered = true;
        return undefined;
      });
      const answer = response && new Answer(response, begin);
      if (response && answer?.isUsable) return { response, answer, isPlain };
      await response?.body?.cancel();
    }
    const response = await this.#client.fetch(url, { cache });
    const answer = new Answer(response, 0);
    return { response, answer, isPlain: isPlain || !isUnanswered || answer.size === undefined };
  }
}

/** An answer to a request of a range. */
interface RangeAnswer {
  response: Response;
  answer: Answer;
  /** Whether the next request should be one of the whole file. */
  isPlain: boolean;
}

/**
 * Reads the bytes `[begin, end)` of a file from an answer, as far as they arrive.
 *
 * @throws FileChanged, and ClipError for an answer that is no file, or holds more than the file says
 */
async function* readAnswer(
  response: Response,
  answer: Answer,
  file: RemoteFile,
  begin: number,
  end: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = response.body?.getReader();
  try {
    checkIsFile(file.url, response);
    const isKnown = answer.size !== undefined && file.size !== Number.POSITIVE_INFINITY;
    if (differs(file, answer) || (isKnown && answer.size !== file.size))
      throw new FileChanged(file.url, "the file changed on the server while it was read");
    // a server without ranges sends the file from its start
    let skip = begin - (answer.begin ?? 0);
    let left = end - begin;
    while (reader && left > 0) {
      const { value, done } = await reader.read();
      if (done) return;
      const piece = value.subarray(Math.min(skip, value.length));
      skip -= value.length - piece.length;
      const wanted = piece.subarray(0, Math.min(left, piece.length));
      left -= wanted.length;
      if (wanted.length > 0) yield wanted;
      if (wanted.length < piece.length && file.isDeclared && end === file.size) throw tooLong(file);
    }
    if (file.isDeclared && end === file.size && !(await reader?.read())?.done) throw tooLong(file);
  } finally {
    // ends the transfer if the server sends more than was asked for
    await reader?.cancel().catch(() => undefined);
  }
}

const tooLong = ({ url, size }: RemoteFile) =>
  new ClipError("invalid-checkpoint", `${url}: expected ${size} bytes, as its header says, got more`);

function refusalOf(url: string, response: Response): ClipError | undefined {
  try {
    checkIsFile(url, response);
  } catch (error) {
    if (error instanceof ClipError) return error;
    throw error;
  }
  return undefined;
}
