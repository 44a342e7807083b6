/** All that a change must pass: the checks that take seconds, then the tests beside the checks by cargo. */

import { build } from "./build.mjs";
import { checkQuickly, checkRust } from "./check.mjs";
import { setUpChromium } from "./setup.mjs";
import { conclude, runTests } from "./test.mjs";

const began = performance.now();
const chromium = setUpChromium();
await build();
await checkQuickly();
await runTests({ chromium: await chromium, beforeRust: checkRust });
conclude(began);
