/** Reads the pairs to train on from the source in the form. */

import { type ImageTextPair, imageFolder, webDataset } from "clipwright";
import heldOutShard from "../data/emoji-heldout.tar?url";
import trainShard from "../data/emoji-train.tar?url";

/** Training pairs and held-out pairs. */
export interface Split {
  name: string;
  training: ImageTextPair[];
  heldOut: ImageTextPair[];
  /** Samples without a picture or a caption. */
  bad: number;
}

/** One pair in 10 is held out. */
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

/** Holds out every tenth pair: always the same ones, so that a run can be resumed. */
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

/** Pairs of a source; undefined while no file is picked. */
export async function loadPairs(source: string, files: readonly File[]): Promise<Split | undefined> {
  if (source === "emoji") return emoji();
  const [first] = files;
  if (!first) return undefined;
  if (source === "tar") return split(files.map(({ name }) => name).join(", "), webDataset(files));
  return split(first.webkitRelativePath.split("/")[0] ?? first.name, imageFolder(files));
}
