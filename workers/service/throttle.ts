/** Sends at most one event per interval (in milliseconds), and always the last one. */
export class Throttle<T> {
  readonly #send: (event: T) => void;
  readonly #interval: number;
  #next = 0;
  #held: T | undefined;

  constructor(send: (event: T) => void, interval = 50) {
    this.#send = send;
    this.#interval = interval;
  }

  /** Sends an event, or holds it back. */
  send(event: T): void {
    const now = performance.now();
    this.#held = event;
    if (now < this.#next) return;
    this.#next = now + this.#interval;
    this.flush();
  }

  /** Sends the event that was held back. */
  flush(): void {
    if (this.#held !== undefined) this.#send(this.#held);
    this.#held = undefined;
  }
}
