/**
 * Trains on a GPU that is lost after the third step; `test/node/webgpu.test.ts` reads the steps. Node loads this file before its workers,
 * too (`--import`): there it destroys the device when it is told to.
 */

import { isMainThread } from "node:worker_threads";
import { globals } from "webgpu";

const channel = new BroadcastChannel("lose the GPU");
channel.unref();

if (isMainThread) {
  const { ClipTrainer } = await import("clipwright");
  const config = {
    embedDim: 16,
    vision: { imageSize: 16, patchSize: 8, width: 16, layers: 1, heads: 2 },
    text: { contextLength: 8, width: 16, layers: 1, heads: 2 },
  };
  const pairs = ["red", "green", "blue", "white"].map((text, i) => ({
    text,
    image: { data: new Uint8Array(16 * 16 * 3).fill(60 * i), width: 16, height: 16 },
  }));
  const trainer = await ClipTrainer.create({ config, device: "webgpu", seed: 3 });
  const losses = [];
  for await (const { step, loss, recovered } of trainer.fit(pairs, {
    batchSize: 4,
    epochs: 5,
    autosave: { every: 2 },
  })) {
    losses.push(loss);
    if (step === 3 && losses.length === 3) channel.postMessage("now");
    if (recovered) console.log(`${recovered.code} after step ${recovered.reached}, back at step ${step}`);
    if (recovered) console.log(`the same loss: ${loss === losses[step - 1]}`);
  }
  console.log(`${losses.length} steps`);
  trainer.dispose();
} else {
  const { requestDevice } = globals.GPUAdapter.prototype;
  globals.GPUAdapter.prototype.requestDevice = async function (...args) {
    const device = await requestDevice.apply(this, args);
    channel.onmessage = () => device.destroy();
    return device;
  };
}
