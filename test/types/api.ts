/** Compiled, never run: what the public types accept and refuse. */

import {
  Clip,
  ClipError,
  type ClipErrorCode,
  ClipTrainer,
  type Embeddings,
  type Encoder,
  type FitOptions,
  type ImagesInput,
  type LoraOptions,
  type Match,
  type StepEvent,
  topK,
  webDataset,
} from "clipwright";
import type { Remote } from "comlink";
import type { TrainingWorkerApi } from "../../workers/protocol/api";
import { tinyConfig } from "../support";

export async function allowed(remote: Remote<TrainingWorkerApi>): Promise<void> {
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
  const lora: LoraOptions = { rank: 4, alpha: 8 };
  const options: FitOptions = { lora, augment: {}, muon: { lr: 0.02 } };
  const either: Encoder = Math.random() < 0.5 ? clip : trainer;
  const images: ImagesInput = { pixelValues: new Float32Array() };
  const matches: Match[] = topK(await either.encodeImage(images), embeddings, { k: 3 });
  void [options, matches];
  const code: ClipErrorCode = new ClipError("disposed", "").code;
  void code;
  const bytes: Promise<Uint8Array> = remote.save("hf");
  await bytes;
}

export async function refused(): Promise<void> {
  // @ts-expect-error a config or a checkpoint, not both
  await ClipTrainer.create({ config: tinyConfig, from: new Uint8Array() });
  // @ts-expect-error neither a config nor a checkpoint
  await ClipTrainer.create({ device: "cpu" });
  // @ts-expect-error unknown device
  await ClipTrainer.create({ config: tinyConfig, device: "tpu" });
  const trainer = await ClipTrainer.create({ config: tinyConfig });
  // @ts-expect-error a pair without text
  trainer.fit([{ image: new Uint8Array() }]);
  // @ts-expect-error unknown option
  trainer.fit([], { learningRate: 1 });
  // @ts-expect-error a bad image has no embedding
  for await (const { embedding } of trainer.encodeImages([])) void embedding.length;
  // @ts-expect-error unknown layout
  await trainer.exportSafetensors("onnx");
  // @ts-expect-error private constructor
  new ClipTrainer();
  // @ts-expect-error unknown code
  new ClipError("oops", "");
}
