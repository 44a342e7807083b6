/** Measures memory over many training steps, in Node and in a page. */

import { ClipTrainer } from "clipwright";

const STEPS = 1_000;
const SAMPLES = 10;
const BATCH = 16;

const config = {
  embedDim: 16,
  vision: { imageSize: 16, patchSize: 8, width: 16, layers: 1, heads: 2 },
  text: { contextLength: 8, width: 16, layers: 1, heads: 2 },
};

/** Trains for 1,000 steps; returns the bytes in use after every hundredth. */
export async function measureMemory(device, report = () => {}) {
  const pairs = Array.from({ length: 4 * BATCH }, (_, i) => ({
    image: { data: new Uint8Array(16 * 16 * 3).map((_, j) => (i * 37 + j * 11) % 256), width: 16, height: 16 },
    text: `pair ${i}`,
  }));
  const trainer = await ClipTrainer.create({ config, device, seed: 1 });
  const samples = [];
  for await (const { step } of trainer.fit(pairs, { batchSize: BATCH, epochs: STEPS / 4 })) {
    if (step % (STEPS / SAMPLES) !== 0) continue;
    samples.push({ step, ...(await trainer.memory()) });
    report(samples.at(-1));
  }
  trainer.dispose();
  return samples;
}
