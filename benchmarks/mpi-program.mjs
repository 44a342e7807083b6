/** The native program with MPI, as a release, and its runs of the emoji pairs. */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { config as emoji } from "../examples/emoji/config.mjs";
import { fail } from "../scripts/jobs.mjs";
import { setUpMpi } from "../scripts/mpi.mjs";
import { releasedProgram, toToml } from "../scripts/native.mjs";

const DATA = fileURLToPath(new URL("../examples/data/emoji-train.tar", import.meta.url));

/** Largest resident memory of a process so far, in bytes; 0 where the system does not say. */
function peakBytes(pid) {
  try {
    return 1024 * Number(/VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Prepares the program and a folder of runs; `model` is a published shape in place of the emoji model. */
export async function setUpProgram(model) {
  const env = await setUpMpi();
  const program = await releasedProgram(["--no-default-features", "--features", "mpi"], env);
  const folder = mkdtempSync(join(tmpdir(), "clipwright-ranks-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const [config, shape] = ["run.toml", "shape.toml"].map((name) => join(folder, name));
  const described = model ? "" : `[config]\n${toToml(emoji)}`;
  writeFileSync(shape, described);
  writeFileSync(config, `${described}[fit]\n${toToml({ truncate: true, epochs: 1000 })}`);

  /**
   * Runs the program behind `launcher`; returns its events, the times in milliseconds at which they came, and the largest memory of the
   * process. It is stopped after `steps` training steps, if they are given.
   */
  function start(launcher, args, steps = Number.POSITIVE_INFINITY) {
    const [command, ...rest] = [...launcher, program, "--json", ...args];
    const child = spawn(command, rest, { env, stdio: ["ignore", "pipe", "inherit"] });
    const [events, times] = [[], []];
    let bytes = 0;
    const timer = setInterval(() => {
      bytes = Math.max(bytes, peakBytes(child.pid));
    }, 20);
    createInterface({ input: child.stdout }).on("line", (line) => {
      events.push(JSON.parse(line));
      if (events.at(-1).type === "step") times.push(performance.now());
      if (times.length === steps) child.kill("SIGTERM");
    });
    return new Promise((resolve) =>
      child.on("close", (status) => {
        clearInterval(timer);
        if (status !== 0 && times.length < steps)
          fail(`${command} ${rest.join(" ")} ended with exit code ${status}: its message is above`);
        resolve({ events, times, bytes });
      }),
    );
  }

  let runs = 0;
  /** Starts a run of `batch` pairs a step, with one thread a process. */
  function train(launcher, batch, steps, more = []) {
    const flags = ["train", "--config", config, "--train-data", DATA, "--device", "cpu", "--threads", "1"];
    flags.push("--batch-size", String(batch), "--logs", folder, "--name", `run-${runs++}`, ...more);
    if (model) flags.push("--model", model);
    return start(launcher, flags, steps);
  }

  return { folder, shape, start, train };
}

/** The launcher of so many ranks. */
export const mpirun = (ranks, ...more) => ["mpirun", ...more, "-n", String(ranks)];
