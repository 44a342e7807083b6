/** The pairs that the benchmarks of training learn from. */

import { readFile } from "node:fs/promises";
import { webDataset } from "clipwright";

/** All training pairs of the emoji example. */
export async function emojiPairs() {
  const pairs = [];
  for await (const pair of webDataset(await readFile(new URL("../examples/data/emoji-train.tar", import.meta.url)))) {
    pairs.push(pair);
  }
  return pairs;
}
