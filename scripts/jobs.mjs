/** Runs commands and says how long they take. Imports only Node's own modules, because it runs before node_modules exists. */

import { spawn, spawnSync } from "node:child_process";
import { constants, setPriority } from "node:os";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));
const running = new Set();

/** Ends the program with a line that says what is wrong and what to do. */
export function fail(message) {
  console.error(`\n✗ ${message}`);
  for (const child of running) child.kill();
  process.exit(1);
}

export function say(message) {
  console.log(`\x1b[1m› ${message}\x1b[0m`);
}

/** Minutes and seconds since `began`, from `performance.now()`. */
export function since(began) {
  const seconds = Math.round((performance.now() - began) / 1000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** Does some work and says how long it took. */
export async function timed(title, work) {
  say(title);
  const began = performance.now();
  const result = await work();
  console.log(`  ${title}: ${since(began)}`);
  return result;
}

/** Runs a command and shows its output; ends the program with `orElse` if it fails. */
export function run(command, args, { orElse, ...options } = {}) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: "inherit", ...options });
  if (error || status !== 0) fail(orElse ?? `${command} ${args.join(" ")} failed${error ? `: ${error.message}` : ""}`);
}

/** Writes the lines of a stream behind a prefix, so that commands that run side by side can be told apart. */
function showLines(stream, prefix) {
  let rest = "";
  const show = (lines) => process.stdout.write(lines.map((line) => `${prefix} ${line}\n`).join(""));
  stream.on("data", (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    show(lines);
  });
  stream.on("end", () => rest && show([rest]));
}

/**
 * Runs a command beside others, `yielding` to them what processors there are. Returns its status and its output, which is shown
 * meanwhile if there is a prefix for its lines.
 */
export function runAside(command, args, { prefix, yielding = false, ...options } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"], ...options });
    running.add(child);
    // what it starts inherits this
    if (yielding && child.pid) setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (chunk) => {
        output += chunk;
      });
      if (stream && prefix) showLines(stream, prefix);
    }
    const end = (status, message = "") => {
      running.delete(child);
      resolve({ status, output: output + message });
    };
    child.on("error", (error) => end(1, error.message));
    child.on("close", (status) => end(status ?? 1));
  });
}

/** Runs a command beside others; ends the program with `orElse` if it fails, after its output, unless that was shown. */
export async function mustRun(command, args, { orElse, ...options } = {}) {
  const { status, output } = await runAside(command, args, options);
  if (status === 0) return;
  if (!options.prefix) process.stdout.write(output);
  fail(orElse ?? `${command} ${args.join(" ")} failed: its output is above`);
}
