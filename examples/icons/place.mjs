/** Where the data and the runs are: a folder in the cache, or the one that `--folder` names. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fail } from "../../scripts/jobs.mjs";
import { CACHE } from "../../scripts/setup.mjs";

/** Shards, counts and credits (`data.json`), and the merges of the tokenizer. */
export const dataFolder = (folder) => join(folder, "data");

/** Folder of everything, unless another one is given. */
export const FOLDER = join(CACHE, "icons");

/** What `data` counted; ends the program where there is none. */
function readCounts(folder) {
  const file = join(dataFolder(folder), "data.json");
  if (!existsSync(file)) fail(`there is no data in ${folder}: run npm run icons -- data`);
  return JSON.parse(readFileSync(file, "utf8"));
}

/** Paths of a split's first shards, of all without `most`. */
export function shardsOf(folder, split, most = Number.POSITIVE_INFINITY) {
  const { shards } = readCounts(folder).splits[split];
  return Array.from({ length: Math.min(shards, most) }, (_, index) =>
    join(dataFolder(folder), `${split}-${String(index).padStart(3, "0")}.tar`),
  );
}
