/** What it takes to compile and start the native program with MPI: the system's, or wheels from PyPI, which need no root. */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fail, ROOT, run } from "./jobs.mjs";
import { setUpPython } from "./python.mjs";
import { findProgram, output, setUpRust, systemLibraries } from "./setup.mjs";

const WHEELS = join(ROOT, "scale", "requirements-mpi.txt");

/** Path of the system's libclang; undefined if there is none. LLVM's other libraries have names like it. */
function findLibclang() {
  return process.env.LIBCLANG_PATH ?? /\S*\/libclang(-\d+)?\.so\S*/.exec(systemLibraries())?.[0];
}

/** Folder of the wheel's libclang. */
function wheelOfLibclang(lib) {
  const python = readdirSync(lib).find((name) => name.startsWith("python3."));
  return join(lib, python ?? fail(`no Python in ${lib}`), "site-packages", "clang", "native");
}

/** Compiles MPI's bindings again where cargo has those of another MPI: it does not look at what they were made of. */
function claimBindings(mpicc) {
  const owner = join(process.env.CARGO_TARGET_DIR, ".mpi");
  if (existsSync(owner) && readFileSync(owner, "utf8") === mpicc) return;
  // of the tests, and of the benchmark
  for (const profile of ["dev", "release"])
    run("cargo", ["clean", "--locked", "--profile", profile, "--package", "mpi-sys"]);
  mkdirSync(dirname(owner), { recursive: true });
  writeFileSync(owner, mpicc);
}

/** Returns the environment to compile with MPI, and to start programs by `mpirun`. */
export async function setUpMpi() {
  await setUpRust();
  // the tests pass options of Open MPI's mpirun
  const mpicc = findProgram("mpicc");
  const system = mpicc && output("mpirun", ["--version"])?.includes("Open MPI");
  const libclang = findLibclang();
  const folder = system && libclang ? undefined : dirname(dirname(await setUpPython(WHEELS)));
  const headers = output(process.env.CC || "cc", ["-print-file-name=include"]);
  const env = {
    ...process.env,
    // the wheel has no headers of its own, such as stddef.h: those of the compiler do
    BINDGEN_EXTRA_CLANG_ARGS: process.env.BINDGEN_EXTRA_CLANG_ARGS ?? `-I${headers}`,
    MPICC: system ? mpicc : join(folder, "bin", "mpicc"),
    // of Open MPI: containers run as root
    OMPI_ALLOW_RUN_AS_ROOT: "1",
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1",
  };
  if (!libclang) env.LIBCLANG_PATH = wheelOfLibclang(join(folder, "lib"));
  if (!system) {
    env.PATH = [join(folder, "bin"), process.env.PATH].join(delimiter);
    const library = process.platform === "darwin" ? "DYLD_LIBRARY_PATH" : "LD_LIBRARY_PATH";
    env[library] = [join(folder, "lib"), process.env[library]].filter(Boolean).join(delimiter);
  }
  claimBindings(env.MPICC);
  return env;
}
