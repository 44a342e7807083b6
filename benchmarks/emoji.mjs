/** Training pairs of the benchmarks. */

import { webDataset } from "clipwright";

/** All training pairs of the emoji example, in Node or on a page of this repository. */
export async function emojiPairs() {
  const tar = new URL("../examples/data/emoji-train.tar", import.meta.url);
  const source = tar.protocol === "file:" ? await (await import("node:fs/promises")).readFile(tar) : tar.href;
  const pairs = [];
  for await (const pair of webDataset(source)) pairs.push(pair);
  return pairs;
}
