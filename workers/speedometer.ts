/** Speed over the last steps. */

/** Steps that the mean is taken over: enough to be steady, few enough to notice a change. */
const WINDOW = 10;

/** Mean duration of the last steps, time between them left out. */
export class Speedometer {
  #durations: number[] = [];
  #started = 0;

  /** A step begins. */
  start(): void {
    this.#started = performance.now();
  }

  /** A step has ended; returns seconds a step. */
  stop(): number {
    this.#durations.push((performance.now() - this.#started) / 1000);
    if (this.#durations.length > WINDOW) this.#durations.shift();
    return this.#durations.reduce((sum, duration) => sum + duration, 0) / this.#durations.length;
  }
}
