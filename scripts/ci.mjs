/**
 * All that a change must pass: the checks that take seconds, then the tests over the built package. What cargo tests and checks needs
 * no package and runs beside.
 */

import { build } from "./build.mjs";
import { checkQuickly, checkRust } from "./check.mjs";
import { testMpi } from "./scale-mpi.mjs";
import { testRay } from "./scale-python.mjs";
import { setUpChromium } from "./setup.mjs";
import { conclude, testDrawing, testPackage, testRust } from "./test.mjs";

const began = performance.now();
const chromium = setUpChromium();
const rust = testRust().then(testDrawing).then(checkRust);
await build();
await checkQuickly();
await Promise.all([rust, testPackage({ chromium: await chromium })]);
// alone: it kills processes at moments that depend on the speed
await testRay();
// last: its native program takes the place of the other one, which tests in Node start
await testMpi();
conclude(began);
