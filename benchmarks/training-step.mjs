/** Our side of `bench:step`; as a program it prints the milliseconds of each step as a JSON line. */

import { ClipTrainer } from "clipwright";
import { config, fit } from "../examples/emoji/config.mjs";
import { emojiPairs } from "./emoji.mjs";

const WARM_UP = 2;

/** Milliseconds of each step, and the number of threads. */
export async function measureSteps(device, repeats) {
  const pairs = await emojiPairs();
  const trainer = await ClipTrainer.create({ config, device, seed: 1 });
  const ms = [];
  let began = 0;
  for await (const { step } of trainer.fit(pairs, { ...fit, epochs: 20 })) {
    if (step > WARM_UP) ms.push(performance.now() - began);
    if (step === WARM_UP + repeats) break;
    began = performance.now();
  }
  const { threads = 1 } = trainer.info.device;
  trainer.dispose();
  return { ms, threads };
}

if (globalThis.process?.argv[1]?.endsWith("training-step.mjs")) {
  console.log(JSON.stringify(await measureSteps("cpu", Number(process.argv[2] ?? 5))));
}
