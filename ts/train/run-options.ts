/** Options of a run, whether it begins or is resumed. */

import type { PlatformClass } from "../../workers/protocol/platform-class.js";
import { PAIRS, type PairSource } from "../data/pairs.js";
import { alsoCalled, flag, nested, oneOf, positiveInteger, required, type Schema, signal } from "../options/rules.js";
import { AUTOSAVE, type AutosaveOptions } from "./autosave.js";
import { EVALUATE, type EvaluateOptions } from "./evaluator.js";

/** What a run does beside its steps. */
export interface RunOptions {
  /** Cuts captions longer than the context instead of refusing them. @default false */
  truncate?: boolean;
  /**
   * What happens to a pair whose image cannot be read or whose caption is too long: `"stop"` throws before the first step,
   * `"skip"` trains without it and lists it in the first event. @default "stop"
   */
  badPairs?: "stop" | "skip";
  /** Evaluates the model during the run, and ends the run when it stops improving. @default never */
  evaluation?: EvaluationOptions;
  /** Saves the training state during the run, and resumes from it when the worker or the GPU is lost. @default never */
  autosave?: AutosaveOptions;
  /** Ends the run after the current step; the iteration then ends as after the last step. @default none */
  signal?: PlatformClass<"AbortSignal">;
}

/** How a model is evaluated during a run. */
export interface EvaluationOptions extends EvaluateOptions {
  /** Validation pairs: the run does not train on them. */
  pairs: PairSource;
  /** Steps between two evaluations; the last step is always evaluated. */
  every: number;
  /**
   * Evaluations without a better text→image R@1 after which the run ends. `resumeFit` continues such a run all the same.
   * @default no limit
   */
  patience?: number;
}

export const RUN = {
  truncate: alsoCalled("truncation", flag),
  badPairs: alsoCalled("onerror skip", oneOf("stop", "skip")),
  evaluation: alsoCalled(
    "validation",
    nested<EvaluationOptions>({
      ...EVALUATE,
      pairs: required(PAIRS),
      every: required(positiveInteger),
      patience: alsoCalled("earlystopping", positiveInteger),
    }),
  ),
  autosave: alsoCalled("checkpoint", nested<AutosaveOptions>(AUTOSAVE)),
  signal,
} satisfies Schema<RunOptions>;
