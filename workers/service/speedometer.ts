/** Steps that the mean is taken over: enough to be steady, few enough to show a change. */
const WINDOW = 10;

/** Measures the mean duration of the last steps, without the time between them. */
export class Speedometer {
  /** Durations of the last steps in seconds, and how long they waited for images. */
  #steps: { seconds: number; waited: number }[] = [];
  #started = 0;
  #waited = 0;

  /** Begins a step. */
  start(): void {
    this.#started = performance.now();
    this.#waited = 0;
  }

  /** Awaits what the step needs, and measures how long. */
  async wait<T>(needed: Promise<T>): Promise<T> {
    const before = performance.now();
    const result = await needed;
    this.#waited += (performance.now() - before) / 1000;
    return result;
  }

  /** Ends a step; returns the mean duration in seconds, and the share of it spent waiting. */
  stop(): { seconds: number; waiting: number } {
    this.#steps.push({ seconds: (performance.now() - this.#started) / 1000, waited: this.#waited });
    if (this.#steps.length > WINDOW) this.#steps.shift();
    const total = (key: "seconds" | "waited") => this.#steps.reduce((sum, step) => sum + step[key], 0);
    return { seconds: total("seconds") / this.#steps.length, waiting: total("waited") / total("seconds") };
  }
}
