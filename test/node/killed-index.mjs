/** Adds to an index without end, and prints the number of each add that was acknowledged. The test kills it. */

import { writeSync } from "node:fs";
import { VectorIndex } from "clipwright/search";
import { itemsOf } from "../killed-index.mjs";

const [, , path, from] = process.argv;
const index = await VectorIndex.open({ path }, { dimension: 16 });
for (let add = Number(from); ; add++) {
  await index.add(itemsOf(add));
  writeSync(1, `${add}\n`);
}
