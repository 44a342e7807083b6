/**
 * A model of icons, from the data to its evaluation: docs/icons.md.
 *
 *     npm run icons -- data
 *     npm run icons -- train small --epochs 2 --threads 1
 *     npm run icons -- eval small
 *     npm run icons -- ranks small
 *     npm run icons -- peer small
 *
 * `base` is the larger model. Flags after its name are those of `clipwright train`. `--folder` names another place than the cache.
 * CLIPWRIGHT names another program than the one that is built, PYTHON one that has the packages of scale/requirements-torch.txt.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { fail } from "../../scripts/jobs.mjs";
import { releasedProgram } from "../../scripts/native.mjs";
import { comparePeer } from "./compare-peer.mjs";
import { compareRanks } from "./compare-ranks.mjs";
import { makeData } from "./data.mjs";
import { evaluate, flagsOf } from "./model.mjs";
import { FOLDER, shardsOf } from "./place.mjs";

const words = process.argv.slice(2);
const at = words.indexOf("--folder");
const [, named] = at < 0 ? [] : words.splice(at, 2);
if (at >= 0 && !named) fail("--folder takes a path");
const folder = named ? resolve(named) : FOLDER;
const [command, model, ...flags] = words;

const configs = readdirSync(fileURLToPath(new URL(".", import.meta.url))).filter((file) => file.endsWith(".toml"));
const models = configs.map((file) => file.replace(".toml", ""));

/** Trains a model, or goes on with its training. */
async function train() {
  const program = await releasedProgram();
  const data = ["--train-data", shardsOf(folder, "train").join("::")];
  const args = ["train", ...flagsOf(folder, model), ...data, "--name", model, "--resume", "latest", ...flags];
  // Ctrl-C reaches the program, too, which saves the run before it ends
  process.on("SIGINT", () => {});
  const [status] = await once(spawn(program, args, { stdio: "inherit" }), "close");
  process.exitCode = status ?? 1;
}

/** Retrieval among the held-out icons, each kind by itself. */
async function evaluateRun() {
  const weights = join(folder, "runs", model, "model.safetensors");
  if (!existsSync(weights)) fail(`${weights} is missing: run npm run icons -- train ${model}, to its end`);
  console.table(evaluate(await releasedProgram(), weights, folder));
}

const COMMANDS = {
  train,
  eval: evaluateRun,
  ranks: () => compareRanks(folder, model, flags),
  peer: () => comparePeer(folder, model, flags),
};

if (command === "data") await makeData(folder);
else if (!(command in COMMANDS)) fail(`npm run icons takes data, or ${Object.keys(COMMANDS).join(", ")} and a model`);
else if (!models.includes(model)) fail(`npm run icons -- ${command} takes a model: ${models.join(" or ")}`);
else await COMMANDS[command]();
