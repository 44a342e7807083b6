/** `npm run demo`: sets up, builds, and serves examples/train at http://127.0.0.1:5173/, or at the next port that is free. */

import { build } from "./build.mjs";
import { run } from "./jobs.mjs";

await build();
run("npx", ["vite", "examples/train", "--config", "examples/train/vite.config.ts", ...process.argv.slice(2)]);
