/** Words that a model has never seen because its vocabulary was cut to other captions. */

import { Clip, ClipTrainer, type ExportedFile } from "clipwright";
import { expect, test } from "vitest";
import { colourPairs, tinyConfig } from "../support";

const options = { batchSize: 8, epochs: 1 };

async function trained() {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  for await (const _ of trainer.fit(colourPairs(8), options));
  return trainer;
}

const asFiles = (files: ExportedFile[]) =>
  files.map(({ name, data }) => new File([data as Uint8Array<ArrayBuffer>], name));

test("unseen words are named by the trainer, by its export and after resuming", async () => {
  const trainer = await trained();
  const seen = colourPairs(8)[0]?.text as string;
  const state = await trainer.saveCheckpoint();
  const encoders = [
    trainer,
    await ClipTrainer.resume(state, { device: "cpu" }),
    await ClipTrainer.create({ from: await trainer.exportSafetensors("hf"), device: "cpu" }),
    await Clip.load(await trainer.exportSafetensors("open_clip"), { device: "cpu" }),
    await Clip.load(asFiles(await trainer.exportFiles("hf")), { device: "cpu" }),
    await Clip.load(asFiles(await trainer.exportFiles("open_clip")), { device: "cpu" }),
  ];
  for (const encoder of encoders) {
    const before = encoder.info.warnings.length;
    expect((await encoder.encodeText(seen)).warnings).toBeUndefined();
    expect(encoder.info.warnings).toHaveLength(before);
    const { warnings } = await encoder.encodeText([seen, "a Zebra"], { truncate: true });
    expect(warnings).toHaveLength(1);
    expect(warnings?.[0]).toContain('"zebra"');
    await encoder.encodeText([seen, "a Zebra"], { truncate: true });
    expect(encoder.info.warnings).toEqual([...encoder.info.warnings.slice(0, before), warnings?.[0]]);

    const classifier = await encoder.zeroShotClassifier(["okapi"], { templates: `{} ${seen}`, truncate: true });
    expect(classifier.embeddings.warnings?.[0]).toContain('"okapi"');
    expect(encoder.info.warnings.at(-1)).toContain('"okapi"');
  }
  for (const encoder of encoders) encoder.dispose();
});

test("words of a later run are no longer unseen, and a whole vocabulary has no unseen words", async () => {
  const trainer = await trained();
  const zebras = colourPairs(8).map(({ image }) => ({ image, text: "a zebra" }));
  for await (const _ of trainer.fit(zebras, { ...options, truncate: true }));
  expect((await trainer.encodeText("zebra", { truncate: true })).warnings).toBeUndefined();
  expect((await trainer.encodeText("okapi", { truncate: true })).warnings).toHaveLength(1);
  trainer.dispose();

  const config = { ...tinyConfig, text: { ...tinyConfig.text, vocabSize: 49408 } };
  const whole = await ClipTrainer.create({ config, device: "cpu" });
  for await (const _ of whole.fit(colourPairs(8), options));
  expect((await whole.encodeText("zebra", { truncate: true })).warnings).toBeUndefined();
  whole.dispose();
});
