/** The pairs to train on, from where the form says. */

import { type ImageTextPair, imageFolder, webDataset } from "clipwright";
import heldOutShard from "../data/emoji-heldout.tar?url";
import trainShard from "../data/emoji-train.tar?url";

/** Pairs to learn from, and pairs to be judged by. */
export interface Split {
  name: string;
  training: ImageTextPair[];
  heldOut: ImageTextPair[];
  /** Samples that are no pairs. */
  bad: number;
}

/** One pair in so many is held out. */
const HELD_OUT = 10;

async function collect(pairs: AsyncIterable<ImageTextPair>): Promise<{ good: ImageTextPair[]; bad: number }> {
  const good: ImageTextPair[] = [];
  let bad = 0;
  for await (const pair of pairs) {
    if (pair.error) bad++;
    else good.push(pair);
  }
  return { good, bad };
}

async function emoji(): Promise<Split> {
  const [training, heldOut] = await Promise.all([trainShard, heldOutShard].map((url) => collect(webDataset(url))));
  return { name: "emoji", training: training?.good ?? [], heldOut: heldOut?.good ?? [], bad: 0 };
}

/** Every tenth pair is held out: the same ones each time, so that a run can be gone on with. */
async function split(name: string, pairs: AsyncIterable<ImageTextPair>): Promise<Split> {
  const { good, bad } = await collect(pairs);
  const isHeldOut = (index: number) => index % HELD_OUT === HELD_OUT - 1;
  return {
    name,
    training: good.filter((_, i) => !isHeldOut(i)),
    heldOut: good.filter((_, i) => isHeldOut(i)),
    bad,
  };
}

/** The pairs of a source; nothing where there is nothing picked yet. */
export async function loadPairs(source: string, files: readonly File[]): Promise<Split | undefined> {
  if (source === "emoji") return emoji();
  const [first] = files;
  if (!first) return undefined;
  if (source === "tar") return split(files.map(({ name }) => name).join(", "), webDataset(files));
  return split(first.webkitRelativePath.split("/")[0] ?? first.name, imageFolder(files));
}
