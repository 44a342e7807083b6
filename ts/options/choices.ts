/** Rules of options that several calls share. */

import type { CheckpointLayout, TokenizerReference } from "../../workers/protocol/config.js";
import type { DeviceChoice } from "../../workers/protocol/load.js";
import { alsoCalled, oneOf } from "./rules.js";

export const DEVICE = alsoCalled("backend", oneOf<DeviceChoice>("auto", "webgpu", "cpu"));
export const TOKENIZER = oneOf<TokenizerReference>("open_clip", "openai", "hf", "hf_normalized");
export const LAYOUT = oneOf<CheckpointLayout>("hf", "open_clip");
