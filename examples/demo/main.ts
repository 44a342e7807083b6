/** Trains on the emoji pairs in the page's worker, and searches them while it learns. */

import {
  ClipTrainer,
  type DeviceChoice,
  type Embeddings,
  type ImageTextPair,
  isClipError,
  topK,
  webDataset,
} from "clipwright";
import heldOutShard from "../data/emoji-heldout.tar?url";
import trainShard from "../data/emoji-train.tar?url";
import { config, fit } from "../emoji/config.mjs";
import { LossChart } from "./loss-chart";

/** Steps between two looks at the search results while training. */
const REFRESH = 20;
const SHOWN = 12;

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const form = element<HTMLFormElement>("settings");
const startButton = element<HTMLButtonElement>("start");
const stopButton = element<HTMLButtonElement>("stop");
const downloadButton = element<HTMLButtonElement>("download");
const progress = element<HTMLProgressElement>("progress");
const status = element("status");
const figures = element("figures");
const query = element<HTMLInputElement>("query");
const searchNote = element("search-note");
const results = element("results");
const chart = new LossChart(element("chart"));

let trainer: ClipTrainer | undefined;
let stop = new AbortController();
/** What is searched: pairs and their images' embeddings under the model as it was a moment ago. */
let gallery: { pairs: ImageTextPair[]; images: Embeddings } | undefined;

async function shard(url: string): Promise<ImageTextPair[]> {
  const pairs: ImageTextPair[] = [];
  for await (const pair of webDataset(await fetch(url))) pairs.push(pair);
  return pairs;
}

/** Both shards, read once. */
let shards: Promise<{ training: ImageTextPair[]; heldOut: ImageTextPair[] }> | undefined;
function loadShards() {
  shards ??= Promise.all([shard(trainShard), shard(heldOutShard)]).then(([training, heldOut]) => ({
    training,
    heldOut,
  }));
  return shards;
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

const duration = (seconds: number) =>
  seconds < 60 ? `${Math.round(seconds)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;

function showFigures(entries: Record<string, string>): void {
  figures.replaceChildren(
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

function resultItem(pair: ImageTextPair, score: number): HTMLLIElement {
  const item = document.createElement("li");
  const picture = Object.assign(document.createElement("img"), { alt: "", width: 64, height: 64 });
  picture.src = URL.createObjectURL(new Blob([pair.image as Uint8Array<ArrayBuffer>], { type: "image/webp" }));
  picture.addEventListener("load", () => URL.revokeObjectURL(picture.src), { once: true });
  const similarity = Object.assign(document.createElement("span"), {
    className: "score",
    textContent: score.toFixed(2),
  });
  item.append(picture, pair.text, similarity);
  return item;
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
      if (wanted === "") {
        results.replaceChildren();
        continue;
      }
      const text = await trainer.encodeText(wanted, { truncate: true });
      const { pairs, images } = gallery;
      const found = topK(text, images, { k: SHOWN });
      results.replaceChildren(...found.map(({ index, score }) => resultItem(pairs[index] as ImageTextPair, score)));
    }
  } catch (error) {
    if (!isClipError(error) || error.code !== "disposed") throw error;
  } finally {
    searching = false;
  }
}

async function refreshGallery(pairs: ImageTextPair[]): Promise<void> {
  if (!trainer) return;
  gallery = { pairs, images: await trainer.encodeImage(pairs.map((pair) => pair.image)) };
  query.disabled = false;
  await search();
}

async function train(): Promise<void> {
  const data = new FormData(form);
  const epochs = Number(data.get("epochs"));
  const batchSize = Number(data.get("batchSize"));
  stop = new AbortController();
  gallery = undefined;
  trainer?.dispose();
  chart.clear();
  status.textContent = "Loading the pairs and the model…";
  const [{ training, heldOut }, created] = await Promise.all([
    loadShards(),
    ClipTrainer.create({ config, device: data.get("device") as DeviceChoice, seed: 1 }),
  ]);
  trainer = created;
  const { kind, reason } = trainer.info.device;
  const deviceName = kind === "webgpu" ? "GPU" : "CPU";
  status.textContent = `Preparing ${training.length} pairs for the ${deviceName}…`;
  let steps = 0;
  let totalSteps = 0;
  for await (const event of trainer.fit(training, { ...fit, epochs, batchSize, signal: stop.signal })) {
    steps = event.step;
    totalSteps = event.totalSteps;
    if (steps === 1) {
      status.textContent = `Training on the ${deviceName} (${reason}).`;
      searchNote.textContent =
        "Searching the 413 held-out emoji, which the model never sees; all of them when it is done.";
      downloadButton.disabled = false;
    }
    progress.value = steps / event.totalSteps;
    chart.add(steps, event.loss, event.batchSize);
    showFigures({
      Step: `${steps} of ${event.totalSteps}`,
      Epoch: `${event.epoch} of ${epochs}`,
      Loss: event.loss.toFixed(3),
      "Learning rate": event.lr.toExponential(1),
      "Temperature⁻¹": Math.exp(event.logitScale).toFixed(1),
      Speed: `${event.samplesPerSecond.toFixed(0)} pairs/s`,
      Left: duration(event.secondsLeft),
    });
    if (steps % REFRESH === 0 && !stop.signal.aborted) await refreshGallery(heldOut);
  }
  stopButton.disabled = true;
  if (steps === 0) {
    status.textContent = "Stopped before the first step.";
    return;
  }
  const ended = `${steps < totalSteps ? "Stopped" : "Done"} after ${steps} steps.`;
  status.textContent = `${ended} Judging it on the held-out emoji…`;
  const { textToImage, imageToText } = await trainer.evaluate(heldOut, { distractors: training, truncate: true });
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const all = (training.length + heldOut.length).toLocaleString("en");
  showFigures({
    Steps: String(steps),
    "Text → image, R@1": percent(textToImage.r1),
    "R@5": percent(textToImage.r5),
    "R@10": percent(textToImage.r10),
    "Image → text, R@1": percent(imageToText.r1),
  });
  await refreshGallery([...training, ...heldOut]);
  searchNote.textContent = `Searching all ${all} emoji.`;
  status.textContent = `${ended} R@1: how often a held-out name finds its own picture first among all ${all}.`;
}

function setRunning(running: boolean): void {
  startButton.disabled = running;
  stopButton.disabled = !running;
  for (const input of form.querySelectorAll("input")) input.disabled = running;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  // disabled inputs are no part of a form's data, so they are read first
  const run = train();
  setRunning(true);
  try {
    await run;
  } catch (error) {
    status.textContent = isClipError(error) ? `${error.message} (${error.code})` : String(error);
  } finally {
    setRunning(false);
    startButton.textContent = "Train anew";
  }
});

stopButton.addEventListener("click", () => {
  stop.abort();
  stopButton.disabled = true;
  status.textContent = "Stopping after this step…";
});

downloadButton.addEventListener("click", async () => {
  if (!trainer) return;
  const bytes = await trainer.exportSafetensors("hf");
  const url = URL.createObjectURL(new Blob([bytes as Uint8Array<ArrayBuffer>]));
  Object.assign(document.createElement("a"), { href: url, download: "emoji.safetensors" }).click();
  URL.revokeObjectURL(url);
});

let typing: ReturnType<typeof setTimeout> | undefined;
query.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, 150);
});

element("found").textContent = await findGpu();
