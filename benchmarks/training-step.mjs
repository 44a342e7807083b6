/** Our half of the training-step benchmark: prints a JSON line of milliseconds per repeat. */

import { ClipTrainer } from "clipwright";
import { config, fit } from "../examples/emoji/config.mjs";
import { emojiPairs } from "./emoji.mjs";

const WARM_UP = 2;
const repeats = Number(process.argv[2] ?? 5);

const pairs = await emojiPairs();
const trainer = await ClipTrainer.create({ config, device: "cpu", seed: 1 });
const ms = [];
let began = 0;
for await (const { step } of trainer.fit(pairs, { ...fit, epochs: 20 })) {
  if (step > WARM_UP) ms.push(performance.now() - began);
  if (step === WARM_UP + repeats) break;
  began = performance.now();
}
trainer.dispose();
console.log(JSON.stringify({ ms }));
