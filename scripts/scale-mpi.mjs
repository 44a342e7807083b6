/** The tests of the native program on several ranks. */

import { clippy } from "./check.mjs";
import { timed } from "./jobs.mjs";
import { setUpMpi } from "./mpi.mjs";
import { NATIVE_CRATES } from "./native.mjs";
import { setUpLints } from "./setup.mjs";
import { cargoTest } from "./test.mjs";

/** Packages and features of the Rust tests and MPI: Burn is compiled for both at once. */
const CRATES = [...NATIVE_CRATES, "--features=clip-cli/mpi"];

/** Tests the native program on several ranks, under `mpirun`, and runs clippy on what only such a build has. */
export async function testMpi() {
  const env = await setUpMpi();
  setUpLints();
  await timed("clippy, with MPI", () => clippy([...CRATES, "--all-targets"], env));
  // one test at a time: each starts several ranks
  await timed("tests on several ranks", () => cargoTest([...CRATES, "--test", "scale", "--", "--test-threads=1"], env));
}
