/** Compares steps with `augment` on photographs with steps on fixed crops, in Node and in a page. */

import { ClipTrainer } from "clipwright";
import { smallB32 as config } from "./shapes.mjs";

const ROUNDS = 3;
/** Steps after which the time is steady. */
const WARM = 2;

const fit = { batchSize: 64, epochs: 6, lr: 1e-4 };

/** Seconds a step and share of waiting, by turns; `photo` is an encoded photograph. */
export async function measureAugmented(device, photo, report = () => {}) {
  const pairs = Array.from({ length: 128 }, (_, i) => ({ image: photo.slice(), text: `photograph ${i}` }));
  const rows = [];
  for (let round = 1; round <= ROUNDS; round++) {
    for (const augment of [undefined, {}]) {
      const trainer = await ClipTrainer.create({ config, device, seed: 1 });
      const steps = [];
      let waiting = 0;
      let began = performance.now();
      for await (const event of trainer.fit(pairs, { ...fit, ...(augment && { augment }) })) {
        if (event.step > WARM) steps.push((performance.now() - began) / 1000);
        waiting = event.waiting;
        began = performance.now();
      }
      trainer.dispose();
      steps.sort((a, b) => a - b);
      rows.push({ round, augment: augment !== undefined, seconds: steps[Math.floor(steps.length / 2)], waiting });
      report(rows.at(-1));
    }
  }
  return rows;
}
