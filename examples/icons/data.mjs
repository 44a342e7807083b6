/** `npm run icons -- data`: Iconify's sets from npm, drawn into WebDataset shards by crates/svg-shards. */

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gunzipSync } from "node:zlib";
import { fail, mustRun, ROOT, timed } from "../../scripts/jobs.mjs";
import { npmInstall, setUpRust } from "../../scripts/setup.mjs";
import { dataFolder } from "./place.mjs";
import { isPermissive, pairsOf, SPLITS } from "./select.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));

/** Pixels on a side, of both models. */
const SIDE = 64;
const PER_SHARD = 10_000;

/**
 * Merges of the tokenizer: the first of CLIP's, which are a byte-pair encoding of their own. The captions need 17,000 of all, most of
 * them for a handful of words, which would stay untrained, and so would those of unseen words.
 */
const MERGES = 8000;

/** Installs the sets outside the clone: 470 MB. */
async function setUpSets(folder) {
  const home = join(folder, "package");
  mkdirSync(home, { recursive: true });
  for (const file of ["package.json", "package-lock.json"]) cpSync(join(HERE, file), join(home, file));
  await npmInstall(home);
  return createRequire(join(home, "package.json"));
}

/** Reads the sets of a folder, sorted by prefix. */
function readSets(json) {
  const names = readdirSync(json).filter((name) => name.endsWith(".json"));
  return names.sort().map((name) => JSON.parse(readFileSync(join(json, name), "utf8")));
}

/** The pairs of all sets, split by split, each in an order that mixes the sets: by the hash of the key. */
function sortedPairs(sets) {
  const pairs = sets.flatMap((set) =>
    Array.from(pairsOf(set), (pair) => {
      const key = `${set.prefix}/${pair.name}`;
      return { ...pair, key, set, hash: createHash("sha256").update(key).digest("hex") };
    }),
  );
  const rank = ({ split, hash }) => SPLITS.indexOf(split) + hash;
  return pairs.sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}

/** Draws pairs into the shards of a folder; returns the counts. */
async function draw(program, pairs, svgOf, folder) {
  const child = spawn(program, [folder, String(SIDE), String(PER_SHARD)], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "close");
  // its exit code says more than the pipe that it closed
  child.stdin.on("error", () => {});
  let last = "";
  createInterface({ input: child.stdout }).on("line", (line) => {
    last = line;
  });
  for (const { split, key, captions, set, name } of pairs) {
    const line = JSON.stringify({ split, key, captions, svg: svgOf(set, name) });
    if (!child.stdin.write(`${line}\n`)) await Promise.race([once(child.stdin, "drain"), ended]);
    if (child.exitCode !== null) break;
  }
  child.stdin.end();
  const [status] = await ended;
  if (status !== 0) fail(`svg-shards ended with exit code ${status}: its message is above`);
  return JSON.parse(last);
}

/** Who is to be credited for a set, under which licence. */
const credit = ({ prefix, info: { name, author, license } }) => ({
  prefix,
  name,
  author: author.name,
  url: author.url,
  licence: license?.spdx ?? license?.title,
});

/** Makes the data anew; it takes the place of the earlier one when it is whole. */
export async function makeData(folder) {
  await setUpRust();
  const require = await setUpSets(folder);
  await mustRun("cargo", ["build", "--locked", "--release", "--package", "svg-shards"]);
  const { getIconData, iconToHTML, iconToSVG } = await import(pathToFileURL(require.resolve("@iconify/utils")).href);
  const home = dirname(require.resolve("@iconify/json/package.json"));
  const all = readSets(join(home, "json"));
  const used = all.filter(({ info }) => isPermissive(info));
  const svgOf = (set, name) => {
    const { attributes, body } = iconToSVG(getIconData(set, name), { width: "none", height: "none" });
    return iconToHTML(body, attributes);
  };

  const partial = `${dataFolder(folder)}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  const program = join(process.env.CARGO_TARGET_DIR, "release", "svg-shards");
  const pairs = sortedPairs(used);
  const counts = await timed(`drawing ${pairs.length} icons`, () => draw(program, pairs, svgOf, partial));
  const merges = gunzipSync(readFileSync(join(ROOT, "assets", "clip-merges.txt.gz"))).toString();
  writeFileSync(join(partial, "merges.txt"), `${merges.split("\n").slice(0, MERGES).join("\n")}\n`);
  const { version } = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
  const leftOut = all.filter(({ info }) => !isPermissive(info)).map(credit);
  const summary = { version, ...counts, sets: used.map(credit), leftOut };
  writeFileSync(join(partial, "data.json"), `${JSON.stringify(summary, undefined, 2)}\n`);

  const data = dataFolder(folder);
  if (existsSync(data)) rmSync(data, { recursive: true });
  renameSync(partial, data);
  console.log(`${used.length} sets of @iconify/json ${version}; ${leftOut.length} left out for their licences`);
  for (const [split, { samples, shards }] of Object.entries(counts.splits))
    console.log(`${split}: ${samples} icons in ${shards} shards`);
  console.log(
    `left out: ${counts.duplicates} equal to an earlier one, ${counts.blank} blank, ${counts.broken.length} broken`,
  );
  console.log(data);
}
