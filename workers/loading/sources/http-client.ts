/** Requests to a server: repeated if it is busy, aborted with the load, refused if the answer is no file. */

import { ClipError } from "../../protocol/error.js";
import { excerpt } from "../../protocol/excerpt.js";
import type { ReadContext } from "./source.js";

/** How often a request or a transfer is repeated. */
export const RETRIES = 4;
/** Milliseconds before the first retry; doubled for each further one. */
const RETRY_DELAY = 200;

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
    const hint = response.status === 401 || response.status === 403 ? ": is it private?" : "";
    throw unreadable(url, `the server answers HTTP ${response.status}${hint}`);
  }
  if (isPage(response)) {
    const hint = "does it want a login, or is this the address of a page about the file?";
    throw unreadable(url, `expected a file of a model, got a web page (text/html): ${hint}`);
  }
}

/** Sends requests with the same headers and query. */
export class HttpClient {
  readonly #headers: Record<string, string>;
  readonly #query: string;
  readonly #signal: AbortSignal;

  constructor(headers: Record<string, string>, query: string, { signal }: ReadContext) {
    this.#headers = headers;
    this.#query = query;
    this.#signal = signal;
  }

  /** Throws if the load was aborted. */
  throwIfAborted(): void {
    this.#signal.throwIfAborted();
  }

  /**
   * Fetches a URL, repeatedly while the server is busy or cannot be reached; `url` is given without the query.
   *
   * @throws ClipError `source-unreadable` if there is no answer
   */
  async fetch(url: string, headers: Record<string, string> = {}): Promise<Response> {
    const address = this.#query === "" ? url : url.replace(/(\?.*)?$/, () => this.#query);
    for (let attempt = 0; ; attempt++) {
      this.#signal.throwIfAborted();
      let failure: ClipError;
      try {
        const response = await fetch(address, { headers: { ...this.#headers, ...headers }, signal: this.#signal });
        if (!isTemporary(response.status)) return response;
        await response.body?.cancel();
        failure = unreadable(url, `the server answers HTTP ${response.status}`);
      } catch (error) {
        this.#signal.throwIfAborted();
        // Node hides the reason in `cause`; browsers give none
        const { message, cause } = error as Error;
        const reason = cause instanceof Error ? cause.message : message;
        failure = unreadable(url, `the request failed: ${reason}`, error);
        // permanent: too many redirects, a refused connection, an unknown host
        if (/redirect|ECONNREFUSED|ENOTFOUND/i.test(reason)) throw failure;
      }
      if (attempt === RETRIES) throw failure;
      await this.wait(attempt);
    }
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
