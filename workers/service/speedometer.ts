/** Speed over the last steps. */

/** Steps that the mean is taken over: enough to be steady, few enough to notice a change. */
const WINDOW = 10;

/** Mean duration of the last steps, time between them left out. */
export class Speedometer {
  /** Seconds of each, and of them those that it waited. */
  #steps: { seconds: number; waited: number }[] = [];
  #started = 0;
  #waited = 0;

  /** A step begins. */
  start(): void {
    this.#started = performance.now();
    this.#waited = 0;
  }

  /** The step waits for what it needs. */
  async wait<T>(needed: Promise<T>): Promise<T> {
    const before = performance.now();
    const result = await needed;
    this.#waited += (performance.now() - before) / 1000;
    return result;
  }

  /** A step has ended; returns seconds a step, and the share of them that was waited. */
  stop(): { seconds: number; waiting: number } {
    this.#steps.push({ seconds: (performance.now() - this.#started) / 1000, waited: this.#waited });
    if (this.#steps.length > WINDOW) this.#steps.shift();
    const total = (what: "seconds" | "waited") => this.#steps.reduce((sum, step) => sum + step[what], 0);
    return { seconds: total("seconds") / this.#steps.length, waiting: total("waited") / total("seconds") };
  }
}
