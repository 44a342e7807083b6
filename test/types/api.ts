/** Compiled, never run: what the public types allow and refuse. */

import {
  Clip,
  ClipError,
  type ClipErrorCode,
  ClipTrainer,
  type Embeddings,
  type StepEvent,
  webDataset,
} from "clipwright";
import type { Remote } from "comlink";
import type { ClipWorkerApi } from "../../workers/protocol/api";
import { tinyConfig } from "../support";

export async function allowed(remote: Remote<ClipWorkerApi>): Promise<void> {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "webgpu", seed: 1 });
  for await (const event of trainer.fit(webDataset(new Blob([])), {
    epochs: 1,
    signal: new AbortController().signal,
  })) {
    const { loss, lr, logitScale, samplesPerSecond, secondsLeft }: StepEvent = event;
    void [loss, lr, logitScale, samplesPerSecond, secondsLeft];
  }
  const embeddings: Embeddings = await trainer.encodeText("one");
  await trainer.logits(embeddings, ["one", "two"]);
  const clip: Clip = await Clip.load(await trainer.exportSafetensors("open_clip"));
  await clip.encodeImage([new ImageData(2, 2), new Uint8Array(), { data: new Uint8Array(12), width: 2, height: 2 }]);
  for await (const { key, embedding, error } of clip.encodeImages(["a.png"])) {
    const either: Float32Array | ClipError = error ?? embedding;
    void [key, either];
  }
  for await (const { embedding } of clip.encodeImages(["a.png"], { badImages: "stop" })) void embedding.length;
  const code: ClipErrorCode = new ClipError("disposed", "").code;
  void code;
  const bytes: Promise<Uint8Array> = remote.save("hf");
  await bytes;
}

export async function refused(): Promise<void> {
  // @ts-expect-error a config or a checkpoint, not both
  await ClipTrainer.create({ config: tinyConfig, from: new Uint8Array() });
  // @ts-expect-error one of them is needed
  await ClipTrainer.create({ device: "cpu" });
  // @ts-expect-error no such device
  await ClipTrainer.create({ config: tinyConfig, device: "tpu" });
  const trainer = await ClipTrainer.create({ config: tinyConfig });
  // @ts-expect-error pairs have a text
  trainer.fit([{ image: new Uint8Array() }]);
  // @ts-expect-error no such option
  trainer.fit([], { learningRate: 1 });
  // @ts-expect-error the embedding of a bad image
  for await (const { embedding } of trainer.encodeImages([])) void embedding.length;
  // @ts-expect-error no such layout
  await trainer.exportSafetensors("onnx");
  // @ts-expect-error made by create alone
  new ClipTrainer();
  // @ts-expect-error no such code
  new ClipError("oops", "");
}
