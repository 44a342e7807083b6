/** A page that trains on the GPU and lists its steps; `test/node/lost-gpu.test.ts` takes the GPU away. */

import { ClipTrainer, isClipError } from "clipwright";
import { colourPairs, tinyConfig } from "../support";

const [list, output] = [document.querySelector("ol"), document.querySelector("output")];
try {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "webgpu", seed: 3 });
  const options = { batchSize: 4, epochs: 2, autosave: { every: 2 } };
  for await (const { step, recovered } of trainer.fit(colourPairs(8), options)) {
    const line = document.createElement("li");
    line.textContent = `${step} ${recovered?.code ?? ""} ${recovered?.message ?? ""}`;
    list?.append(line);
    // gives the test time to act
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  if (output) output.value = "done";
} catch (error) {
  if (output) output.value = isClipError(error) ? `${error.code}: ${error.message}` : String(error);
}
