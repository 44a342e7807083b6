/** How the native program is called on icons. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fail } from "../../scripts/jobs.mjs";
import { dataFolder, shardsOf } from "./place.mjs";

/** Flags of `clipwright train` that say which model, by which tokenizer, and where runs are. */
export const flagsOf = (folder, model, logs = join(folder, "runs")) => [
  ...["--config", fileURLToPath(new URL(`${model}.toml`, import.meta.url))],
  ...["--merges", join(dataFolder(folder), "merges.txt"), "--logs", logs],
];

/** Runs the program, or what starts it, and returns its events. */
export function eventsOf(command, args, env = process.env) {
  const stdio = ["ignore", "pipe", "inherit"];
  const { status, stdout } = spawnSync(command, args, { env, stdio, encoding: "utf8", maxBuffer: 2 ** 30 });
  if (status !== 0) fail(`${command} ${args.join(" ")} ended with exit code ${status}: its message is above`);
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** Retrieval of a model among the held-out icons, as the rows of a table. */
export function evaluate(program, weights, folder, flags = []) {
  const rows = {};
  for (const split of ["heldout-names", "heldout-sets"]) {
    const data = ["--val-data", shardsOf(folder, split).join("::"), "--captions", "lines", "--truncate"];
    const events = eventsOf(program, ["--json", "eval", weights, ...data, ...flags]);
    const { textToImage, imageToText } = events.find(({ type }) => type === "evaluation");
    for (const [way, { r1, r10, queries, medianRank }] of Object.entries({ textToImage, imageToText }))
      rows[`${split}, ${way}`] = { queries, "R@1": percent(r1), "R@10": percent(r10), "median rank": medianRank };
  }
  return rows;
}

/** Columns of a run's `steps.csv`, as numbers. */
export function stepsOf(run) {
  const [head, ...rows] = readFileSync(join(run, "steps.csv"), "utf8").trim().split("\n");
  const names = head.split(",");
  return rows.map((row) => Object.fromEntries(row.split(",").map((cell, index) => [names[index], Number(cell)])));
}
