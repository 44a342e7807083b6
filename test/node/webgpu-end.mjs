/** Computes on the GPU, and ends as its argument says, by itself if it has none; `test/node/webgpu.test.ts` looks at the exit code. */

import { fileURLToPath } from "node:url";
import { Clip } from "clipwright";

const end = process.argv[2];
const folder = fileURLToPath(new URL("../fixtures/models/clip-quickgelu-p8/hf", import.meta.url));
const clip = await Clip.load(folder, { device: "webgpu" });
await clip.encodeText(["a cat"]);
if (end === "dispose") clip.dispose();
if (end === "exit") process.exit();
if (end?.startsWith("busy")) {
  const texts = Array.from({ length: 64 }, (_, i) => `cat ${i}`);
  const answer = clip.encodeText(texts).catch((error) => console.log(error.code));
  await new Promise((resolve) => setTimeout(resolve, 30));
  if (end === "busy-dispose") clip.dispose();
  if (end === "busy-exit") process.exit();
  if (end === "busy-throw") throw new Error("thrown by the app");
  await answer;
}
