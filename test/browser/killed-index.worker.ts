/** Adds to an index without end, and posts the number of each add that was acknowledged. The worker's name is that of the index, and a number. */

import { isClipError } from "clipwright";
import { VectorIndex } from "clipwright/search";
import { itemsOf } from "../killed-index.mjs";

async function addForever(): Promise<void> {
  const [name = "", from] = self.name.split("#");
  const index = await VectorIndex.open(name, { dimension: 16 });
  for (let add = Number(from); ; add++) {
    await index.add(itemsOf(add));
    postMessage(add);
  }
}

addForever().catch((error) => postMessage(isClipError(error) ? `${error.code}: ${error.message}` : String(error)));
