/** Requests to a server: repeated if it is busy, aborted with the load, refused if the answer is no file. */

import { ClipError } from "../../protocol/error.js";
import { excerpt } from "../../protocol/excerpt.js";
import type { ReadContext } from "./source.js";

/** How often a request or a transfer is repeated. */
export const RETRIES = 4;
/** Milliseconds before the first retry; doubled for each further one. */
const RETRY_DELAY = 200;
/** How often a request is redirected, as in the Fetch Standard. */
const MAX_REDIRECTS = 20;
/** Failures that the next request would meet, too: of redirects, of hosts, of addresses and headers. */
const PERMANENT = /redirect|ECONNREFUSED|ENOTFOUND|scheme|invalid method|parse URL|may not be sent/i;
/** What platforms say of a header that they do not send; some quote its value. */
const MALFORMED_HEADER = /invalid header|'headers'|\bheader '.*' has invalid/i;

/** Addresses of the files that are packed in a browser extension: of a missing one there is no answer, as if there were no server. */
const IN_EXTENSION = /^[a-z-]+-extension:/;

/** Whether this platform hides where a redirect leads, as browsers do: it is then followed by the platform alone. */
let hidesRedirects = false;

/** Whether an answer is a web page. */
export const isPage = ({ headers }: Response) => headers.get("content-type")?.startsWith("text/html") ?? false;

/** Whether a status says that there is no such file. */
export const isMissing = (status: number) => status === 404 || status === 410;

/** Whether a status may be another one soon. */
const isTemporary = (status: number) => status === 408 || status === 429 || status >= 500;

/** Makes the error for a URL that gives no file. */
export const unreadable = (url: string, problem: string, cause?: unknown) =>
  new ClipError("source-unreadable", `${excerpt(url)}: ${problem}`, { cause });

/**
 * Checks that an answer is a file.
 *
 * @throws ClipError `source-unreadable` for an error status or a web page
 */
export function checkIsFile(url: string, response: Response): void {
  if (!response.ok) {
    const isRefused = response.status === 401 || response.status === 403;
    const hint = isRefused ? ": is it private? has a token or a signature expired?" : "";
    throw unreadable(url, `the server answers HTTP ${response.status}${hint}`);
  }
  if (isPage(response)) {
    const hint = "does it want a login, or is this the address of a page about the file?";
    throw unreadable(url, `expected a file of a model, got a web page (text/html): ${hint}`);
  }
}

/** How requests are sent. */
export interface RequestOptions {
  /** Headers of every request to the address's origin. */
  headers: Record<string, string>;
  /** Query of every request. */
  query: string;
  /** How the browser's own cache is used for small files; Node has none. */
  cache?: RequestCache | undefined;
}

/** How one request differs from the others. */
export interface OneRequest {
  headers?: Record<string, string>;
  cache?: RequestCache;
  /** How often it is repeated where there is no answer. */
  retries?: number;
}

/** Sends requests with the same headers and query. */
export class HttpClient {
  readonly #headers: Record<string, string>;
  readonly #query: string;
  readonly #cache: RequestCache;
  readonly #signal: AbortSignal;

  constructor({ headers, query, cache = "default" }: RequestOptions, { signal }: ReadContext) {
    this.#headers = headers;
    this.#query = query;
    this.#cache = cache;
    this.#signal = signal;
  }

  /** Throws if the load was aborted. */
  throwIfAborted(): void {
    this.#signal.throwIfAborted();
  }

  /**
   * Fetches a URL, repeatedly while the server is busy or cannot be reached; the query of `url` is replaced by that of every
   * request.
   *
   * @throws ClipError `source-unreadable` if there is no answer
   */
  async fetch(
    url: string,
    { headers = {}, cache = this.#cache, retries = RETRIES }: OneRequest = {},
  ): Promise<Response> {
    const address = this.#query === "" ? url : url.replace(/(\?.*)?$/, () => this.#query);
    for (let attempt = 0; ; attempt++) {
      this.#signal.throwIfAborted();
      let failure: ClipError;
      try {
        const response = await this.#send(address, headers, cache);
        if (!isTemporary(response.status)) return response;
        await response.body?.cancel();
        failure = unreadable(url, `the server answers HTTP ${response.status}`);
      } catch (error) {
        this.#signal.throwIfAborted();
        if (IN_EXTENSION.test(address)) return new Response(null, { status: 404 });
        const reason = this.#reasonOf(error as Error);
        failure = unreadable(url, `the request failed: ${reason}`, error);
        if (PERMANENT.test(reason) || attempt >= retries) throw failure;
      }
      if (attempt === RETRIES) throw failure;
      await this.wait(attempt);
    }
  }

  /** Node hides the reason in `cause`; browsers give none. A message about a malformed header quotes it, or its beginning. */
  #reasonOf({ message, cause }: Error): string {
    const reason = cause instanceof Error ? cause.message : message;
    if (MALFORMED_HEADER.test(reason)) return "headers hold a name or a value that may not be sent";
    return Object.values(this.#headers).reduce((text, value) => (value ? text.replaceAll(value, "…") : text), reason);
  }

  /**
   * Sends one request. `fetch` would send headers such as `X-Api-Key` to wherever it is redirected, and keeps back `Authorization`
   * alone: redirects are followed here where the platform shows them.
   */
  async #send(url: string, headers: Record<string, string>, cache: RequestCache): Promise<Response> {
    const init = { signal: this.#signal, cache };
    const own = { ...this.#headers, ...headers };
    if (hidesRedirects || Object.keys(this.#headers).length === 0) return fetch(url, { ...init, headers: own });
    const { origin } = new URL(url);
    let address = url;
    let sent = own;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const response = await fetch(address, { ...init, headers: sent, redirect: "manual" });
      if (response.type === "opaqueredirect") {
        hidesRedirects = true;
        return fetch(url, { ...init, headers: own });
      }
      const location = response.headers.get("location");
      if (location === null || response.status < 300 || response.status > 399) return response;
      await response.body?.cancel();
      address = new URL(location, address).href;
      // for good: a redirect back does not prove that the other origin may have them
      if (new URL(address).origin !== origin) sent = headers;
      if (!/^https?:/.test(address)) throw new Error("a redirect to another scheme");
    }
    throw new Error("too many redirects");
  }

  /** Waits before a retry; rejects at once if the load is aborted. */
  wait(attempt: number): Promise<void> {
    const signal = this.#signal;
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      const timer = setTimeout(
        () => {
          signal.removeEventListener("abort", onAbort);
          resolve();
        },
        RETRY_DELAY * 2 ** attempt,
      );
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}
