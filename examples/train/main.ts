/** The training page: what is asked for in the form, shown while it happens. */

import {
  type CheckpointLayout,
  ClipTrainer,
  type DeviceChoice,
  type Embeddings,
  estimateFit,
  type FitEvent,
  type ImageTextPair,
  isClipError,
  type RunOptions,
  rowSimilarities,
  type SkippedPair,
  topK,
} from "clipwright";
import { packTar } from "modern-tar";
import { Chart } from "./chart";
import { showPairs } from "./gallery";
import { loadPairs, type Split } from "./pairs";
import { createOptions, FOLDER, fitOptions, runOptions } from "./run-options";
import { findRun, forgetRun, noteRun, type SavedRun } from "./saved-run";

/** Pictures in a list, and held-out pairs that are looked at each time the model is judged. */
const SHOWN = 12;
const LOOKED_AT = 500;
/** Milliseconds without a change in the form, after which it is estimated what it would take. */
const QUIET = 600;

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const button = (id: string) => element<HTMLButtonElement>(id);
const form = element<HTMLFormElement>("settings");
const inputs = element<HTMLFieldSetElement>("inputs");
const [start, pause, stop, goOn] = [button("start"), button("pause"), button("stop"), button("go-on")];
const downloads: CheckpointLayout[] = ["hf", "open_clip"];
const progress = element<HTMLProgressElement>("progress");
const status = element("status");
const query = element<HTMLInputElement>("query");
const charts = {
  loss: new Chart(element("loss-chart"), [
    { label: "loss", colour: "--accent" },
    { label: "untrained (ln N)", colour: "--muted", dash: [6, 6] },
  ]),
  recall: new Chart(element("recall-chart"), [
    { label: "R@1 (%)", colour: "--accent" },
    { label: "R@5 (%)", colour: "--second" },
  ]),
  speed: new Chart(element("speed-chart"), [{ label: "pairs a second", colour: "--accent" }]),
};

let split: Split | undefined;
let trainer: ClipTrainer | undefined;
let running: AbortController | undefined;
let estimating = new AbortController();
let changing: ReturnType<typeof setTimeout> | undefined;
/** While paused, what takes the next step. */
let resume: (() => void) | undefined;
/** What is searched: pairs and their images' embeddings under the model as it was a moment ago. */
let gallery: { pairs: ImageTextPair[]; images: Embeddings } | undefined;

const picked = (id: string) => [...(element<HTMLInputElement>(id).files ?? [])];
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const count = (n: number) => n.toLocaleString("en");
const message = (error: unknown) => (isClipError(error) ? `${error.message} (${error.code})` : String(error));

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

async function findGpu(): Promise<string> {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (!adapter) return "No WebGPU here: the CPU will do.";
  const { description, vendor, architecture, isFallbackAdapter } = adapter.info;
  const name = description || [vendor, architecture].filter(Boolean).join(" ") || "an unnamed adapter";
  return isFallbackAdapter
    ? `WebGPU is there, but only in software (${name}): the CPU is faster.`
    : `WebGPU found: ${name}.`;
}

/** The pairs that the form asks for. */
async function readPairs(): Promise<void> {
  const source = String(new FormData(form).get("source"));
  element("folder-picker").hidden = source !== "folder";
  element("tar-picker").hidden = source !== "tar";
  const note = element("pairs-note");
  split = undefined;
  note.textContent = "Reading…";
  try {
    const read = await loadPairs(source, source === "emoji" ? [] : picked(source));
    // another source may have been chosen meanwhile
    if (source !== new FormData(form).get("source")) return;
    split = read;
    const bad = read?.bad ? `; ${count(read.bad)} samples without picture or caption are left out` : "";
    note.textContent = read
      ? `${count(read.training.length)} to learn from, ${count(read.heldOut.length)} held out${bad}.`
      : "Nothing picked yet.";
  } catch (error) {
    note.textContent = message(error);
  }
}

/** Says what the run would take, by trying a few steps of it. */
async function estimate(): Promise<void> {
  estimating.abort();
  estimating = new AbortController();
  const { signal } = estimating;
  const note = element("estimate");
  const create = createOptions(new FormData(form), picked("checkpoint"));
  if (!split || !create || !form.checkValidity()) {
    note.textContent = "Pick what is missing above, and it will say here what it takes.";
    return;
  }
  note.textContent = "Estimating…";
  try {
    const { autosave: _, ...options } = fitOptions(new FormData(form));
    const { steps, seconds, bytes } = await estimateFit(create, split.training, { ...options, signal });
    if (signal.aborted) return;
    note.textContent = `About ${duration(seconds)} for ${count(steps)} steps, and ${count(Math.round(bytes / 1e6))} MB of memory.`;
  } catch (error) {
    if (!signal.aborted) note.textContent = message(error);
  }
}

function showFigures(entries: Record<string, string>): void {
  element("figures").replaceChildren(
    ...Object.entries(entries).map(([term, value]) => {
      const group = document.createElement("div");
      group.append(
        Object.assign(document.createElement("dt"), { textContent: term }),
        Object.assign(document.createElement("dd"), { textContent: value }),
      );
      return group;
    }),
  );
}

let searching = false;
let searchAgain = false;

/** Shows what the typed description finds; one search at a time, and the last one always. */
async function search(): Promise<void> {
  searchAgain = true;
  if (searching) return;
  searching = true;
  try {
    while (searchAgain && trainer && gallery) {
      searchAgain = false;
      const wanted = query.value.trim();
      const { pairs, images } = gallery;
      const found = wanted && topK(await trainer.encodeText(wanted, { truncate: true }), images, { k: SHOWN });
      const rows = (found || []).map(({ index, score }) => ({ pair: pairs[index] as ImageTextPair, score }));
      showPairs(element("results"), rows);
    }
  } catch (error) {
    if (!isClipError(error) || error.code !== "disposed") throw error;
  } finally {
    searching = false;
  }
}

/** Shows which held-out pairs fit best and worst with the weights as they are, and searches them. */
async function lookAt(pairs: ImageTextPair[]): Promise<void> {
  if (!trainer || pairs.length === 0) return;
  const images = await trainer.encodeImage(pairs.map(({ image }) => image));
  const texts = await trainer.encodeText(
    pairs.map(({ text }) => text),
    { truncate: true },
  );
  const fit = [...rowSimilarities(images, texts)].map((score, i) => ({ pair: pairs[i] as ImageTextPair, score }));
  fit.sort((a, b) => b.score - a.score);
  showPairs(element("best"), fit.slice(0, SHOWN / 2));
  showPairs(element("worst"), fit.slice(-SHOWN / 2).reverse());
  element("fit-note").textContent = `By the cosine of picture and caption, of ${count(pairs.length)} pairs.`;
  gallery = { pairs, images };
  query.disabled = false;
  await search();
}

/** Takes out what cannot be read, so that it is not asked for again. */
function leaveOut(data: Split, skipped: readonly SkippedPair[]): void {
  const places = (judged: boolean) =>
    new Set(skipped.filter((pair) => (pair.judged ?? false) === judged).map(({ index }) => index));
  const [learned, judged] = [places(false), places(true)];
  data.training = data.training.filter((_, i) => !learned.has(i));
  data.heldOut = data.heldOut.filter((_, i) => !judged.has(i));
}

/** Shows a step. */
async function show(event: FitEvent, data: Split): Promise<void> {
  const { step, totalSteps, epoch, loss, batchSize, samplesPerSecond, secondsLeft, waiting, evaluation } = event;
  progress.value = step / totalSteps;
  element("charts").hidden = false;
  charts.loss.add(step, loss, Math.log(batchSize));
  charts.speed.add(step, samplesPerSecond);
  showFigures({
    Step: `${count(step)} of ${count(totalSteps)}`,
    Epoch: String(epoch),
    Loss: loss.toFixed(3),
    "Learning rate": event.lr.toExponential(1),
    "Temperature⁻¹": Math.exp(event.logitScale).toFixed(1),
    Speed: `${samplesPerSecond.toFixed(0)} pairs/s`,
    ...(waiting > 0 && { "Waiting for pictures": `${(100 * waiting).toFixed(0)} %` }),
    Left: duration(secondsLeft),
  });
  const warnings = (event.warnings ?? []).map(({ message }) => message);
  if (event.skipped) {
    leaveOut(data, event.skipped);
    warnings.push(`${count(event.skipped.length)} pairs are left out: ${event.skipped[0]?.message}`);
  }
  if (event.recovered) warnings.push(`Went back to the last state: ${event.recovered.message}`);
  for (const text of warnings) {
    element("warnings").append(Object.assign(document.createElement("li"), { textContent: text }));
  }
  if (evaluation) {
    const { r1, r5 } = evaluation.textToImage;
    charts.recall.add(step, 100 * r1, 100 * r5);
    await lookAt(data.heldOut.slice(0, LOOKED_AT));
  }
}

/** Shows all steps of a run, waiting where it is paused. */
async function follow(
  events: AsyncIterable<FitEvent>,
  data: Split,
  source: string,
  signal: AbortSignal,
): Promise<void> {
  let last: SavedRun | undefined;
  for await (const event of events) {
    last = { source, name: data.name, step: event.step, totalSteps: event.totalSteps };
    if (event.saved) noteRun(last);
    await show(event, data);
    if (!pausing) continue;
    status.textContent = `Paused after step ${count(event.step)}.`;
    await new Promise<void>((resolve) => {
      resume = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    resume = undefined;
    status.textContent = "Going on…";
  }
  stop.disabled = pause.disabled = true;
  if (!last || !trainer) {
    status.textContent = "Stopped before the first step.";
    return;
  }
  // what was not saved by the clock was when the run was left
  noteRun(last);
  const ended = `${last.step < last.totalSteps ? "Stopped" : "Done"} after ${count(last.step)} steps.`;
  status.textContent = `${ended} Judging it…`;
  const { training, heldOut } = data;
  if (heldOut.length > 0) {
    const options = { distractors: training, truncate: true };
    const { textToImage, imageToText } = await trainer.evaluate(heldOut, options);
    showFigures({
      Steps: count(last.step),
      "Text → image, R@1": percent(textToImage.r1),
      "R@5": percent(textToImage.r5),
      "R@10": percent(textToImage.r10),
      "Image → text, R@1": percent(imageToText.r1),
    });
    await lookAt(heldOut.slice(0, LOOKED_AT));
  }
  const all = [...heldOut, ...training];
  gallery = { pairs: all, images: await trainer.encodeImage(all.map(({ image }) => image)) };
  await search();
  element("search-note").textContent = `Searching all ${count(all.length)} pictures.`;
  const meaning = `R@1: how often a held-out caption finds its own picture first among all ${count(all.length)}.`;
  status.textContent = heldOut.length > 0 ? `${ended} ${meaning}` : ended;
}

let pausing = false;

function setRunning(on: boolean): void {
  inputs.disabled = on;
  start.disabled = on;
  goOn.disabled = on;
  stop.disabled = pause.disabled = !on;
  pausing = false;
  pause.textContent = "Pause";
}

/** Runs what `begin` gives, with the form locked. */
async function run(begin: (data: Split, options: RunOptions) => Promise<AsyncIterable<FitEvent>>): Promise<void> {
  const settings = new FormData(form);
  const data = split;
  if (running || !data) return;
  estimating.abort();
  clearTimeout(changing);
  element("estimate").textContent = "";
  running = new AbortController();
  const { signal } = running;
  setRunning(true);
  gallery = undefined;
  trainer?.dispose();
  trainer = undefined;
  for (const chart of Object.values(charts)) chart.clear();
  element("warnings").replaceChildren();
  status.textContent = "Loading the model…";
  const every = Number(settings.get("every"));
  const judged = data.heldOut.length > 0 && {
    evaluation: { pairs: data.heldOut, distractors: data.training, every, truncate: true },
  };
  try {
    const events = await begin(data, { ...runOptions(settings), ...judged, signal });
    const { kind, reason } = (trainer as ClipTrainer | undefined)?.info.device ?? { kind: "cpu", reason: "" };
    status.textContent = `Training on the ${kind === "webgpu" ? "GPU" : "CPU"} (${reason}).`;
    element("search-note").textContent = "Searching the held-out pictures, which the model never sees.";
    for (const layout of downloads) button(`download-${layout}`).disabled = false;
    await follow(events, data, String(settings.get("source")), signal);
  } catch (error) {
    status.textContent = message(error);
  } finally {
    running = undefined;
    setRunning(false);
    start.textContent = "Train anew";
    await offerSavedRun();
  }
}

async function offerSavedRun(): Promise<void> {
  const saved = await findRun();
  goOn.hidden = !saved;
  element("saved").textContent = saved
    ? `A run on ${saved.name} was left after step ${count(saved.step)} of ${count(saved.totalSteps)}. Its settings are its own.`
    : "";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const settings = new FormData(form);
  const create = createOptions(settings, picked("checkpoint"));
  if (!split || !create) {
    status.textContent = `Pick ${split ? "a checkpoint" : "the pairs"} first.`;
    return;
  }
  void run(async ({ training }, options) => {
    await forgetRun();
    trainer = await ClipTrainer.create(create);
    return trainer.fit(training, { ...fitOptions(settings), ...options });
  });
});

goOn.addEventListener("click", async () => {
  const saved = await findRun();
  if (!saved) return offerSavedRun();
  const settings = new FormData(form);
  if (settings.get("source") !== saved.source || split?.name !== saved.name) {
    status.textContent = `To go on, pick ${saved.name} again as the pairs.`;
    return;
  }
  await run(async ({ training }, options) => {
    trainer = await ClipTrainer.resume(FOLDER, { device: settings.get("device") as DeviceChoice });
    return trainer.resumeFit(training, options);
  });
});

pause.addEventListener("click", () => {
  pausing = !pausing;
  pause.textContent = pausing ? "Resume" : "Pause";
  if (!pausing) resume?.();
  else status.textContent = "Pausing after this step…";
});

stop.addEventListener("click", () => {
  running?.abort();
  stop.disabled = pause.disabled = true;
  status.textContent = "Stopping after this step…";
});

for (const layout of downloads) {
  const download = button(`download-${layout}`);
  download.addEventListener("click", async () => {
    if (!trainer) return;
    download.disabled = true;
    try {
      const files = await trainer.exportFiles(layout);
      const tar = await packTar(
        files.map(({ name, data }) => ({
          header: { name: `clip/${name}`, size: data.length, type: "file" },
          body: data,
        })),
      );
      const url = URL.createObjectURL(new Blob([tar as Uint8Array<ArrayBuffer>]));
      Object.assign(document.createElement("a"), { href: url, download: `clip-${layout}.tar` }).click();
      URL.revokeObjectURL(url);
    } catch (error) {
      status.textContent = message(error);
    } finally {
      download.disabled = false;
    }
  });
}

let typing: ReturnType<typeof setTimeout> | undefined;
query.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, 150);
});

form.addEventListener("change", async ({ target }) => {
  element("checkpoint-picker").hidden = new FormData(form).get("model") !== "checkpoint";
  estimating.abort();
  const field = target as HTMLInputElement;
  if (field.name === "source" || field.id === "folder" || field.id === "tar") await readPairs();
  clearTimeout(changing);
  changing = setTimeout(estimate, QUIET);
});

element("found").textContent = await findGpu();
await offerSavedRun();
await readPairs();
await estimate();
