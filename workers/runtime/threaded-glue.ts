/** The glue of the modules with threads, for the workers that run one. */

import * as encode from "../wasm/encode-cpu-threads.js";
import * as train from "../wasm/train-cpu-threads.js";

/** By work. */
export const THREADED_GLUE = { encode, train };
