/** The training page: trains as its form says and shows loss, recall, speed and results meanwhile. */

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

/** Pictures in a list. */
const SHOWN = 12;
/** Held-out pairs that are ranked at each evaluation. */
const RANKED = 500;
/** Milliseconds after the last change in the form until the run is estimated, and after the last typed letter until a search. */
const QUIET = 600;
const TYPING = 150;

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

/** What the page holds besides the form. */
interface State {
  /** The pairs that the form asks for; undefined until they are read. */
  split: Split | undefined;
  trainer: ClipTrainer | undefined;
  /** Stops the run in progress. */
  run: AbortController | undefined;
  paused: boolean;
  /** Ends a pause. */
  resume: (() => void) | undefined;
  /** Stops the estimate in progress. */
  estimate: AbortController;
  /** The searched pairs, and the embeddings of their images by the weights at the last evaluation. */
  gallery: { pairs: ImageTextPair[]; images: Embeddings } | undefined;
  searching: boolean;
  /** The description changed during a search. */
  searchAgain: boolean;
}

const state: State = {
  split: undefined,
  trainer: undefined,
  run: undefined,
  paused: false,
  resume: undefined,
  estimate: new AbortController(),
  gallery: undefined,
  searching: false,
  searchAgain: false,
};

const picked = (id: string) => [...(element<HTMLInputElement>(id).files ?? [])];
const fields = () => new FormData(form);
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const count = (n: number) => n.toLocaleString("en");
const message = (error: unknown) => (isClipError(error) ? `${error.message} (${error.code})` : String(error));

/** A function that calls `work` once its own calls have stopped for `wait` milliseconds, and one that cancels that call. */
function debounce(work: () => void, wait: number): { soon(): void; cancel(): void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const cancel = () => clearTimeout(timer);
  return {
    cancel,
    soon() {
      cancel();
      timer = setTimeout(work, wait);
    },
  };
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

async function findGpu(): Promise<string> {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (!adapter) return "No WebGPU here: training runs on the CPU.";
  const { description, vendor, architecture, isFallbackAdapter } = adapter.info;
  const name = description || [vendor, architecture].filter(Boolean).join(" ") || "an unnamed adapter";
  return isFallbackAdapter ? `WebGPU runs in software only (${name}): the CPU is faster.` : `WebGPU found: ${name}.`;
}

/** The pairs that the form asks for. */
async function readPairs(): Promise<void> {
  const source = String(fields().get("source"));
  element("folder-picker").hidden = source !== "folder";
  element("tar-picker").hidden = source !== "tar";
  const note = element("pairs-note");
  state.split = undefined;
  note.textContent = "Reading…";
  try {
    const read = await loadPairs(source, source === "emoji" ? [] : picked(source));
    // ignore the pairs if another source was chosen meanwhile
    if (source !== fields().get("source")) return;
    state.split = read;
    const bad = read?.bad ? `; ${count(read.bad)} samples without a picture or caption are left out` : "";
    note.textContent = read
      ? `${count(read.training.length)} training pairs, ${count(read.heldOut.length)} held out${bad}.`
      : "Nothing picked yet.";
  } catch (error) {
    note.textContent = message(error);
  }
}

/** Shows how long the run would take and how much memory, by a few steps of it. */
async function estimate(): Promise<void> {
  state.estimate.abort();
  state.estimate = new AbortController();
  const { signal } = state.estimate;
  const note = element("estimate");
  const create = createOptions(fields(), picked("checkpoint"));
  if (!state.split || !create || !form.checkValidity()) {
    note.textContent = "Pick what is missing above to see an estimate.";
    return;
  }
  note.textContent = "Estimating…";
  try {
    const { autosave: _, ...options } = fitOptions(fields());
    const { steps, seconds, bytes } = await estimateFit(create, state.split.training, { ...options, signal });
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

/** Shows what the typed description finds. One search runs at a time; what is typed meanwhile is searched afterwards. */
async function search(): Promise<void> {
  state.searchAgain = true;
  if (state.searching) return;
  state.searching = true;
  try {
    while (state.searchAgain && state.trainer && state.gallery) {
      state.searchAgain = false;
      const { pairs, images } = state.gallery;
      const text = query.value.trim();
      const found = text ? topK(await state.trainer.encodeText(text, { truncate: true }), images, { k: SHOWN }) : [];
      const rows = found.map(({ index, score }) => ({ pair: pairs[index] as ImageTextPair, score }));
      showPairs(element("results"), rows);
    }
  } catch (error) {
    if (!isClipError(error) || error.code !== "disposed") throw error;
  } finally {
    state.searching = false;
  }
}

/** Shows which held-out pairs fit best and worst under the current weights, and searches them. */
async function rankPairs(pairs: ImageTextPair[]): Promise<void> {
  const { trainer } = state;
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
  state.gallery = { pairs, images };
  query.disabled = false;
  await search();
}

/** Removes the pairs that cannot be read, so that later evaluations and searches skip them. */
function leaveOut(data: Split, skipped: readonly SkippedPair[]): void {
  const places = (judged: boolean) =>
    new Set(skipped.filter((pair) => (pair.judged ?? false) === judged).map(({ index }) => index));
  const [learned, judged] = [places(false), places(true)];
  data.training = data.training.filter((_, i) => !learned.has(i));
  data.heldOut = data.heldOut.filter((_, i) => !judged.has(i));
}

/** Shows the figures of a step. */
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
    await rankPairs(data.heldOut.slice(0, RANKED));
  }
}

/** Shows all steps of a run and waits while it is paused; then evaluates the model and searches all pairs. */
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
    if (!state.paused) continue;
    status.textContent = `Paused after step ${count(event.step)}.`;
    await new Promise<void>((resolve) => {
      state.resume = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    state.resume = undefined;
    status.textContent = "Training…";
  }
  stop.disabled = pause.disabled = true;
  const { trainer } = state;
  if (!last || !trainer) {
    status.textContent = "Stopped before the first step.";
    return;
  }
  // leaving the run saved its last state
  noteRun(last);
  const ended = `${last.step < last.totalSteps ? "Stopped" : "Done"} after ${count(last.step)} steps.`;
  status.textContent = `${ended} Evaluating…`;
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
    await rankPairs(heldOut.slice(0, RANKED));
  }
  const all = [...heldOut, ...training];
  state.gallery = { pairs: all, images: await trainer.encodeImage(all.map(({ image }) => image)) };
  await search();
  element("search-note").textContent = `Searching all ${count(all.length)} pictures.`;
  const meaning = `R@1: how often a held-out caption finds its own picture first among all ${count(all.length)}.`;
  status.textContent = heldOut.length > 0 ? `${ended} ${meaning}` : ended;
}

function setRunning(on: boolean): void {
  inputs.disabled = on;
  start.disabled = on;
  goOn.disabled = on;
  stop.disabled = pause.disabled = !on;
  state.paused = false;
  pause.textContent = "Pause";
}

/** Locks the form and follows the run that `begin` starts. */
async function run(begin: (data: Split, options: RunOptions) => Promise<AsyncIterable<FitEvent>>): Promise<void> {
  const settings = fields();
  const data = state.split;
  if (state.run || !data) return;
  state.estimate.abort();
  changed.cancel();
  element("estimate").textContent = "";
  state.run = new AbortController();
  const { signal } = state.run;
  setRunning(true);
  state.gallery = undefined;
  state.trainer?.dispose();
  state.trainer = undefined;
  for (const chart of Object.values(charts)) chart.clear();
  element("warnings").replaceChildren();
  status.textContent = "Loading the model…";
  const every = Number(settings.get("every"));
  const judged = data.heldOut.length > 0 && {
    evaluation: { pairs: data.heldOut, distractors: data.training, every, truncate: true },
  };
  try {
    const events = await begin(data, { ...runOptions(settings), ...judged, signal });
    const { kind, reason } = (state.trainer as ClipTrainer | undefined)?.info.device ?? { kind: "cpu", reason: "" };
    status.textContent = `Training on the ${kind === "webgpu" ? "GPU" : "CPU"} (${reason}).`;
    element("search-note").textContent = "Searching the held-out pictures, which the model never sees.";
    for (const layout of downloads) button(`download-${layout}`).disabled = false;
    await follow(events, data, String(settings.get("source")), signal);
  } catch (error) {
    status.textContent = message(error);
  } finally {
    state.run = undefined;
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
  const settings = fields();
  const create = createOptions(settings, picked("checkpoint"));
  if (!state.split || !create) {
    status.textContent = `Pick ${state.split ? "a checkpoint" : "the pairs"} first.`;
    return;
  }
  void run(async ({ training }, options) => {
    await forgetRun();
    state.trainer = await ClipTrainer.create(create);
    return state.trainer.fit(training, { ...fitOptions(settings), ...options });
  });
});

goOn.addEventListener("click", async () => {
  const saved = await findRun();
  if (!saved) return offerSavedRun();
  const settings = fields();
  if (settings.get("source") !== saved.source || state.split?.name !== saved.name) {
    status.textContent = `To go on, pick ${saved.name} again as the pairs.`;
    return;
  }
  await run(async ({ training }, options) => {
    state.trainer = await ClipTrainer.resume(FOLDER, { device: settings.get("device") as DeviceChoice });
    return state.trainer.resumeFit(training, options);
  });
});

pause.addEventListener("click", () => {
  state.paused = !state.paused;
  pause.textContent = state.paused ? "Resume" : "Pause";
  if (!state.paused) state.resume?.();
  else status.textContent = "Pausing after this step…";
});

stop.addEventListener("click", () => {
  state.run?.abort();
  stop.disabled = pause.disabled = true;
  status.textContent = "Stopping after this step…";
});

for (const layout of downloads) {
  const download = button(`download-${layout}`);
  download.addEventListener("click", async () => {
    const { trainer } = state;
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

query.addEventListener("input", debounce(search, TYPING).soon);

const changed = debounce(estimate, QUIET);

form.addEventListener("change", async ({ target }) => {
  element("checkpoint-picker").hidden = fields().get("model") !== "checkpoint";
  state.estimate.abort();
  const field = target as HTMLInputElement;
  if (field.name === "source" || field.id === "folder" || field.id === "tar") await readPairs();
  changed.soon();
});

element("found").textContent = await findGpu();
await offerSavedRun();
await readPairs();
await estimate();
