/** Work on all vectors that takes long: in steps, between which other calls are answered. The page asks for each, and so may stop. */

import { ClipError } from "../protocol/error.js";

/** Milliseconds of steps in one call. */
const SHARE = 50;

/** Work in steps. */
export interface Job<Result> {
  /** Does a part; returns which share of all is done, 1 at the end. */
  step(): number;
  result(): Result;
  free(): void;
}

/** The jobs of a worker, by number. */
export class Jobs {
  readonly #jobs = new Map<number, Job<unknown>>();
  #last = 0;

  /** Takes a job in; returns its number. */
  add(job: Job<unknown>): number {
    this.#jobs.set(++this.#last, job);
    return this.#last;
  }

  #job(number: number): Job<unknown> {
    const job = this.#jobs.get(number);
    if (!job) throw new ClipError("disposed", "the index was closed: open it again");
    return job;
  }

  /** Works for a moment; returns which share is done. */
  step(number: number): number {
    const job = this.#job(number);
    const end = performance.now() + SHARE;
    let done = job.step();
    while (done < 1 && performance.now() < end) done = job.step();
    return done;
  }

  /** The result of a job, of the type that it was added with. */
  result<Result>(number: number): Result {
    return this.#job(number).result() as Result;
  }

  /** Forgets a job. */
  end(number: number): void {
    this.#jobs.get(number)?.free();
    this.#jobs.delete(number);
  }

  /** Forgets all jobs. */
  endAll(): void {
    for (const number of [...this.#jobs.keys()]) this.end(number);
  }
}
