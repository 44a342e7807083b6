/** Finds the option that a misspelt or foreign name stands for. */

import type { Rule, Rules } from "./rules.js";

/** Our options by the names that other libraries give them, in lower case and without underscores. */
const ALIASES: Readonly<Record<string, string>> = {
  optimizer: "muon",
  optim: "muon",
  learningrate: "lr",
  minibatchsize: "microBatchSize",
  accumfreq: "microBatchSize",
  gradientaccumulationsteps: "microBatchSize",
  gradientcheckpointing: "activationCheckpointing",
  gradcheckpointing: "activationCheckpointing",
  numtrainepochs: "epochs",
  lrscheduler: "schedule",
  decay: "weightDecay",
  wd: "weightDecay",
  betas: "beta1",
  maxgradnorm: "clipNorm",
  gradclipnorm: "clipNorm",
  freeze: "lock",
  unfreeze: "lastBlocks",
  dropout: "patchDropout",
  fp16: "precision",
  amp: "precision",
  onerror: "badPairs",
  skip: "badPairs",
  validation: "evaluation",
  earlystopping: "evaluation.patience",
  checkpoint: "autosave",
  savesteps: "autosave.every",
  savetotallimit: "autosave.keep",
  outputdir: "autosave.to",
  token: "headers",
  authorization: "headers",
  progresscallback: "onProgress",
  abortsignal: "signal",
  backend: "device",
  quantization: "dtype",
  quantized: "dtype",
  branch: "revision",
  host: "endpoint",
  truncation: "truncate",
  prompts: "templates",
  limit: "topK",
};

const letters = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, "");

/** Damerau–Levenshtein distance: letters inserted, deleted, replaced, or swapped with their neighbour. */
function distance(a: string, b: string): number {
  let [last, row]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const replaced = (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1);
      const swaps = j > 0 && a[i] === b[j - 1] && a[i - 1] === b[j];
      const swapped = swaps ? (last[j - 1] ?? 0) + 1 : Number.POSITIVE_INFINITY;
      next.push(Math.min(replaced, swapped, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    [last, row] = [row, next];
  }
  return row[b.length] ?? 0;
}

/** Paths of all options; nested ones follow a dot. */
function paths(rules: Rules): string[] {
  const inside = (name: string, { schema }: Rule) => (schema ? paths(schema).map((inner) => `${name}.${inner}`) : []);
  return Object.entries(rules).flatMap(([name, rule]) => [name, ...inside(name, rule)]);
}

/** Returns the path of the option that a name and a value most likely stand for, or `undefined` where none is near. */
export function didYouMean(name: string, value: unknown, rules: Rules): string | undefined {
  const meant = letters(name).slice(0, 40);
  const known = paths(rules);
  const last = (path: string) => letters(path.slice(path.lastIndexOf(".") + 1));
  const alias = Object.hasOwn(ALIASES, meant) ? ALIASES[meant] : undefined;
  const top = known.filter((path) => !path.includes("."));
  const near = top.map((path) => ({ path, far: distance(meant, letters(path)) })).sort((a, b) => a.far - b.far)[0];
  const begins = (a: string, b: string) => b.length > 3 && a.startsWith(b);
  return (
    known.find((path) => last(path) === meant) ??
    known.find((path) => path === value) ??
    known.find((path) => path === alias) ??
    (near && near.far <= Math.max(1, Math.floor(meant.length / 3)) ? near.path : undefined) ??
    top.find((path) => begins(meant, letters(path)) || begins(letters(path), meant))
  );
}
