/** `npm start`: sets up, builds, and trains on the emoji pairs. Arguments go to examples/emoji/train.mjs. */

import { build } from "./build.mjs";

build();
// in this process, so that it receives Ctrl-C
await import("../examples/emoji/train.mjs");
