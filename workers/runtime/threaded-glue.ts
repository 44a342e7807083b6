/** The glue of the modules with threads, for the workers that run one. */

import * as encode from "../wasm/encode-cpu-threads.js";
import * as plainEncode from "../wasm/encode-cpu-threads-plain.js";
import * as train from "../wasm/train-cpu-threads.js";
import * as plainTrain from "../wasm/train-cpu-threads-plain.js";

/** By module. */
export const THREADED_GLUE = {
  "encode-cpu-threads": encode,
  "encode-cpu-threads-plain": plainEncode,
  "train-cpu-threads": train,
  "train-cpu-threads-plain": plainTrain,
};

/** A module with threads. */
export type ThreadedModule = keyof typeof THREADED_GLUE;
