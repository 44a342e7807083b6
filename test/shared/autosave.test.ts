/** Runs with autosave, and resuming from their states. */

import { ClipTrainer, type FitEvent, type FitOptions } from "clipwright";
import { afterAll, expect, test } from "vitest";
import { colourPairs, inBrowser, sameBytes, tinyConfig, writePrivateFile } from "../support";

const options: FitOptions = { batchSize: 4, epochs: 10, lr: 1e-3, warmup: 3, seed: 5 };
const pairs = colourPairs(8);
const create = () => ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 3 });

/** Name of a folder of states: a path in Node, a name in a page. */
const base = inBrowser
  ? "autosave-test"
  : await import("node:fs").then(({ mkdtempSync }) =>
      import("node:os").then(({ tmpdir }) => mkdtempSync(`${tmpdir()}/clipwright-autosave-`)),
    );

async function files(name: string): Promise<string[]> {
  if (!inBrowser) return (await import("node:fs")).readdirSync(`${base}/${name}`).sort();
  const root = await navigator.storage.getDirectory();
  const folder = await (await root.getDirectoryHandle(base)).getDirectoryHandle(name);
  const names = [];
  for await (const key of folder.keys()) names.push(key);
  return names.sort();
}

async function damage(name: string, file: string): Promise<void> {
  if (!inBrowser) return (await import("node:fs")).truncateSync(`${base}/${name}/${file}`, 1000);
  const root = await navigator.storage.getDirectory();
  const folder = await (await root.getDirectoryHandle(base)).getDirectoryHandle(name);
  const handle = await folder.getFileHandle(file);
  await writePrivateFile(handle, (await handle.getFile()).slice(0, 1000));
}

afterAll(async () => {
  if (!inBrowser) return (await import("node:fs")).rmSync(base, { recursive: true });
  await (await navigator.storage.getDirectory()).removeEntry(base, { recursive: true });
});

async function take(run: AsyncIterable<FitEvent>, count = 99): Promise<FitEvent[]> {
  const events: FitEvent[] = [];
  for await (const event of run) {
    events.push(event);
    if (events.length === count) break;
  }
  return events;
}

test("saves every few steps, at the end, and when a run is left; keeps the last states", async () => {
  const whole = await create();
  const expected = await take(whole.fit(pairs, options));
  const weights = await whole.exportSafetensors();
  whole.dispose();

  const first = await create();
  const autosave = { to: `${base}/run`, every: 4, keep: 2 };
  const events = await take(first.fit(pairs, { ...options, autosave }), 10);
  expect(events.filter(({ saved }) => saved).map(({ step }) => step)).toEqual([4, 8]);
  first.dispose();
  // at the start, 4, 8, and 10 where the run is left
  expect(await files("run")).toEqual(["000003.clip", "000004.clip"]);

  const second = await ClipTrainer.resume(autosave.to, { device: "cpu" });
  const rest = await take(second.resumeFit(pairs, { autosave }));
  expect([...events, ...rest].map(({ step, loss }) => [step, loss])).toEqual(
    expected.map(({ step, loss }) => [step, loss]),
  );
  expect(rest.filter(({ saved }) => saved).map(({ step }) => step)).toEqual([12, 16, 20]);
  expect(sameBytes(await second.exportSafetensors(), weights)).toBe(true);
  second.dispose();
});

test("a damaged state is skipped in favour of the one before it", async () => {
  const trainer = await create();
  const to = `${base}/damaged`;
  await take(trainer.fit(pairs, { ...options, autosave: { to, every: 5, keep: 3 } }), 12);
  trainer.dispose();
  const names = await files("damaged");
  await damage("damaged", names.at(-1) ?? "");
  const resumed = await ClipTrainer.resume(to, { device: "cpu" });
  expect(resumed.info.warnings.join()).toContain("skipped 1 damaged state");
  expect((await take(resumed.resumeFit(pairs), 1)).map(({ step }) => step)).toEqual([11]);
  resumed.dispose();
  for (const name of names) await damage("damaged", name);
  await expect(ClipTrainer.resume(to)).rejects.toMatchObject({ code: "invalid-checkpoint" });
  await expect(ClipTrainer.resume(`${base}/nowhere`)).rejects.toMatchObject({ code: "source-unreadable" });
  await expect(ClipTrainer.resume(base)).rejects.toMatchObject({ code: "source-unreadable" });
});

test("saves by seconds, and a single file resumes", async () => {
  const trainer = await create();
  const autosave = { to: `${base}/seconds`, seconds: 1e-6 };
  const events = await take(trainer.fit(pairs, { ...options, epochs: 2, autosave }));
  expect(events.map(({ saved }) => saved)).toEqual([true, true, true, true]);
  await trainer.saveCheckpoint(`${base}/seconds/mine.clip`);
  await trainer.saveCheckpoint(`${base}/seconds/mine.clip`);
  const resumed = await ClipTrainer.resume(`${base}/seconds/mine.clip`, { device: "cpu" });
  expect(sameBytes(await resumed.exportSafetensors(), await trainer.exportSafetensors())).toBe(true);
  resumed.dispose();
  trainer.dispose();
});

test("invalid options are refused before a step", async () => {
  const trainer = await create();
  for (const autosave of [
    { to: "" },
    { every: 0 },
    { every: 1.5 },
    { seconds: 0 },
    { seconds: Number.NaN },
    { keep: 0 },
  ]) {
    await expect(take(trainer.fit(pairs, { ...options, autosave }))).rejects.toMatchObject({ code: "invalid-option" });
  }
  // a file in place of a folder
  const run = trainer.fit(pairs, { ...options, autosave: { to: `${base}/seconds/mine.clip` } });
  await expect(take(run)).rejects.toMatchObject({ code: "target-unwritable" });
  expect(await take(trainer.fit(pairs, { ...options, epochs: 1 }))).toHaveLength(2);
  trainer.dispose();
});
