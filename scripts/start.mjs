/** `npm start`: sets up, builds, and trains on the emoji pairs. Arguments go to examples/emoji/train.mjs. */

import { build } from "./build.mjs";
import { run } from "./setup.mjs";

build();
run("node", ["examples/emoji/train.mjs", ...process.argv.slice(2)], { orElse: "training ended with an error" });
