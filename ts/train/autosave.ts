/** Saves the state of a run at intervals. */

import { toClipError } from "../../workers/protocol/error.js";
import type { StepEvent } from "../../workers/protocol/train.js";
import { alsoCalled, number, positiveInteger, type Schema, text } from "../options/rules.js";
import type { TrainingClient } from "../worker/client.js";
import type { TrainingWarning } from "./training-monitor.js";

/** When and where the state of a run is saved. */
export interface AutosaveOptions {
  /**
   * A folder: in the origin private file system in a browser, on disk in Node. `ClipTrainer.resume` takes it. A state in memory
   * survives the loss of the worker or the GPU, but not of the page. @default memory
   */
  to?: string;
  /** Steps between two states. @default no limit: `seconds` decides */
  every?: number;
  /** Seconds between two states. @default 60; with `every`, no limit */
  seconds?: number;
  /** Number of states to keep in the folder; older ones are deleted. @default 2 */
  keep?: number;
}

export const AUTOSAVE = {
  to: alsoCalled("outputdir", text("the name of a folder")),
  every: alsoCalled("savesteps", positiveInteger),
  seconds: number("a number above 0", (value) => value > 0),
  keep: alsoCalled("savetotallimit", positiveInteger),
} satisfies Schema<AutosaveOptions>;

/** Saves the states of one run. */
export class Autosave {
  readonly #to: string | undefined;
  readonly #every: number;
  readonly #seconds: number;
  readonly #keep: number;
  #memory: Uint8Array | undefined;
  /** When the last state was saved, in milliseconds. */
  #time = 0;
  /** Whether steps were taken since. */
  #behind = false;
  #failing = false;

  constructor(options: AutosaveOptions) {
    this.#to = options.to;
    this.#every = options.every ?? Number.POSITIVE_INFINITY;
    this.#seconds = options.seconds ?? (options.every === undefined ? 60 : Number.POSITIVE_INFINITY);
    this.#keep = options.keep ?? 2;
  }

  /** The last state: its bytes, or the folder that has it. */
  get state(): Uint8Array | string {
    // a copy: sending may detach the buffer
    return this.#to ?? (this.#memory as Uint8Array).slice();
  }

  async #save(client: TrainingClient): Promise<void> {
    const [to, keep] = [this.#to, this.#keep];
    if (to === undefined) this.#memory = await client.call((api) => api.saveState());
    else await client.call((api) => api.keepState(to, keep));
    this.#time = performance.now();
    this.#behind = false;
  }

  /** Saves before the first step: an unwritable folder fails now, and there is a state to return to. */
  begin(client: TrainingClient): Promise<void> {
    return this.#save(client);
  }

  /** Saves after a step when it is time. Returns a warning when that fails, once until it succeeds again. */
  async after({ step, totalSteps }: StepEvent, client: TrainingClient): Promise<true | TrainingWarning | undefined> {
    this.#behind = true;
    const due = performance.now() - this.#time >= 1000 * this.#seconds;
    if (!due && step % this.#every !== 0 && step !== totalSteps) return undefined;
    try {
      await this.#save(client);
      this.#failing = false;
      return true;
    } catch (error) {
      const { code, message } = toClipError(error);
      // the run goes on; the next attempt waits as long as after a success
      if (code !== "target-unwritable") throw error;
      this.#time = performance.now();
      if (this.#failing) return undefined;
      this.#failing = true;
      return { code: "autosave-failed", message: `${message}; the previous state is kept` };
    }
  }

  /** Keeps the last saved state as it is. */
  abandon(): void {
    this.#behind = false;
  }

  /** Saves the steps since the last state at the end of a run. */
  async finish(client: TrainingClient): Promise<void> {
    if (this.#behind) await this.#save(client);
  }
}
