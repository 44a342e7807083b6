/**
 * `npm run test:scale`: training on several ranks, with an MPI that it brings, and the driver on Ray; what cannot be had is a failure.
 * `-- mpi`, `-- ray`: one of them. `-- torch`: the hand-over to PyTorch, for which it installs 5.8 GB. `-- kills`: 10,000 images with ten
 * kills.
 */

import { fail } from "./jobs.mjs";
import { testMpi } from "./scale-mpi.mjs";
import { killTenTimes, testRay, testTorch } from "./scale-python.mjs";
import { conclude } from "./test.mjs";

const PARTS = { mpi: testMpi, ray: testRay, torch: testTorch, kills: killTenTimes };

const began = performance.now();
const chosen = process.argv.slice(2);
const unknown = chosen.find((part) => !(part in PARTS));
if (unknown) fail(`unknown option ${unknown}: npm run test:scale takes ${Object.keys(PARTS).join(", ")}`);
for (const part of chosen.length > 0 ? chosen : ["mpi", "ray"]) await PARTS[part]();
conclude(began);
