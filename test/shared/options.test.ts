/** Options of every call: unknown names, other types and values out of range are refused, without side effects. */

import {
  type CaptionTableOptions,
  type CheckpointParts,
  type ClassifyOptions,
  Clip,
  type ClipError,
  ClipTrainer,
  type CreateOptions,
  captionTable,
  type EncodeImagesOptions,
  type EncodeTextOptions,
  type EvaluateOptions,
  type EvaluationOptions,
  estimateFit,
  type FitOptions,
  type ImageFolderOptions,
  imageFolder,
  isClipError,
  type LabelOptions,
  type LoadOptions,
  type ProbeOptions,
  type ResumeOptions,
  type ResumeTrainerOptions,
  type TopKOptions,
  topK,
  type WebDatasetOptions,
  webDataset,
} from "clipwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { colourPairs, sameBytes, tinyConfig } from "../support";

let trainer: ClipTrainer;
let before: Uint8Array;

beforeAll(async () => {
  trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 1 });
  for await (const _ of trainer.fit(colourPairs(8), { batchSize: 8, epochs: 1, warmup: 0 }));
  before = await trainer.exportSafetensors();
});
afterAll(() => trainer.dispose());

async function failure(call: () => unknown): Promise<ClipError> {
  try {
    await call();
  } catch (error) {
    if (isClipError(error)) return error;
    throw error;
  }
  throw new Error("expected an error, got none");
}

async function all(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

/** Values that an option refuses, and some that it accepts. */
interface Column {
  wrong: readonly unknown[];
  right: readonly unknown[];
}

/** A column for each option: a new option without one does not compile. */
type Table<O> = { [K in keyof O]-?: Column };

const column = (wrong: readonly unknown[], ...right: unknown[]): Column => ({ wrong, right });
const NO_NUMBERS = ["8", "", Number.NaN, -1, {}, [], [1], true, null, () => 1, 1n, Symbol("s"), new Date(0)];
const NO_TEXTS = [7, 0, "", {}, [], ["a"], true, null, () => "a", new Map(), new Uint8Array(2)];
const NO_NAMES = [...NO_TEXTS, "no such", "toString", "constructor", "x".repeat(1000)];

const above0 = column([...NO_NUMBERS, 0, Number.POSITIVE_INFINITY], 1e-9, 2.5);
const from0 = column([...NO_NUMBERS, Number.POSITIVE_INFINITY], 0, 0.1);
const count = column([...NO_NUMBERS, 0, 1.5, Number.POSITIVE_INFINITY], 1, 1000);
const count0 = column([...NO_NUMBERS, 1.5, Number.POSITIVE_INFINITY], 0, 1000);
const seed = column([...NO_NUMBERS, 0.5, 2 ** 32], 0, 2 ** 32 - 1);
const below1 = column([...NO_NUMBERS, 1, 2], 0, 0.5);
const flag = column(["true", "", 1, 0, {}, [], null, () => true], true, false);
const name = (...right: unknown[]) => column(NO_NAMES, ...right);
const text = (...right: unknown[]) => column(NO_TEXTS, ...right);
const group = column([7, "a", true, null, [], () => 1, new Map()]);
const pairs = column([7, "", true, null, {}, { images: [] }], [], { images: [], texts: [] }, () => []);
const signal = column([7, "a", {}, null, true, new AbortController()], new AbortController().signal);
const callback = column([7, "a", {}, null, true], () => undefined);
const device = name("auto", "webgpu", "cpu");
const tokenizer = name("open_clip", "openai", "hf", "hf_normalized");
const templates = column([7, {}, [], null, "", "no place", ["a {}", 7], [null]], "a {}", "openai", ["{}", () => "a"]);
const labels = column([7, "ab", {}, null, [7], ["a", null], new Array(2)], [], ["a"]);
const none = column([7, "a", {}, []]);
const anything = column([]);

const LOAD: Table<LoadOptions> = {
  device,
  tokenizer,
  towers: name("both", "image", "text"),
  dtype: name("auto", "f32", "q8"),
  maxTensorBytes: count,
  adapter: anything,
  cache: column(["true", 1, {}, null, "no"], true, false, "refresh"),
  onProgress: callback,
  signal,
  endpoint: text("https://huggingface.co"),
  revision: text("main"),
  headers: column([7, "a: b", [], [["a", "b"]], null, { a: 7 }, { a: null }, new Map(), new Headers()], {}, { a: "b" }),
};
const RUN: Table<ResumeOptions> = {
  truncate: flag,
  badPairs: name("stop", "skip"),
  evaluation: group,
  autosave: group,
  signal,
};
const EVALUATE: Table<EvaluateOptions> = { distractors: pairs, zeroShot: group, truncate: flag };
const ZERO_SHOT: Table<NonNullable<EvaluateOptions["zeroShot"]>> = {
  images: column([7, "a", {}, null], []),
  labels,
  templates,
};
const EVALUATION: Table<EvaluationOptions> = { ...EVALUATE, pairs, every: count, patience: count };
const AUTOSAVE: Table<NonNullable<FitOptions["autosave"]>> = {
  to: text("folder"),
  every: count,
  seconds: column([...NO_NUMBERS, 0], 0.5, Number.POSITIVE_INFINITY),
  keep: count,
};
const FIT: Table<FitOptions> = {
  ...RUN,
  batchSize: count0,
  microBatchSize: count,
  activationCheckpointing: flag,
  epochs: count,
  lr: above0,
  warmup: count0,
  schedule: name("cosine", "linear", "constant"),
  beta1: below1,
  beta2: below1,
  epsilon: above0,
  weightDecay: from0,
  muon: group,
  clipNorm: above0,
  labelSmoothing: below1,
  maskDuplicates: flag,
  lock: name("image", "text"),
  lastBlocks: count0,
  lora: group,
  augment: group,
  precision: name("f32", "f16", "bf16"),
  patchDropout: below1,
  emaDecay: column([...NO_NUMBERS, 0, 1], 0.999),
  seed,
};
const MUON: Table<NonNullable<FitOptions["muon"]>> = { lr: above0, momentum: below1, weightDecay: from0 };
const LORA: Table<NonNullable<FitOptions["lora"]>> = { rank: count, alpha: above0 };
const interval = [...NO_NUMBERS, 1, [1, 0.5], [0, 1], [1, 2, 3], ["1", "2"], [Number.NaN, 1], "01", [-1, 1]];
const AUGMENT: Table<NonNullable<FitOptions["augment"]>> = {
  scale: column([...interval, [0.5, 2]], [0.5, 1], [1, 1]),
  ratio: column([...interval, [1, Number.POSITIVE_INFINITY]], [0.5, 2]),
  flip: column([...NO_NUMBERS, 1.1], 0, 1),
};
const COLUMNS = { imageColumn: text("image"), captionColumn: text("text"), separator: text(";") };
const encoding = column([...NO_TEXTS, "utf-7", "no such"], "utf-8", "windows-1252");
const captions = name("whole", "lines");

/** A call, the path of the nested options, and their columns. */
type Call = [call: string, path: string, table: Table<object>, run: (options: never) => unknown];

const within = (path: string, options: object): object =>
  path === "" ? options : { [path.split(".")[0] as string]: within(path.split(".").slice(1).join("."), options) };
const nested = (call: string, run: (options: never) => unknown, tables: Record<string, Table<object>>): Call[] =>
  Object.entries(tables).map(([path, table]) => [call, path, table, (options) => run(within(path, options) as never)]);

const runFit = (options: FitOptions) => all(trainer.fit(colourPairs(8), options));
const resumeFit = (options: ResumeOptions) => all(trainer.resumeFit(colourPairs(8), options));
const evaluate = (options: EvaluateOptions) => trainer.evaluate(colourPairs(2), options);
const embeddings = { data: new Float32Array(16), shape: [1, 16] as [number, number], normalized: true as const };
const ofRun = { evaluation: EVALUATION, "evaluation.zeroShot": ZERO_SHOT, autosave: AUTOSAVE };

const calls: Call[] = [
  ...nested("Clip.load", (options) => Clip.load(new Uint8Array(), options), { "": LOAD }),
  ...nested("ClipTrainer.create", (options) => ClipTrainer.create({ ...(options as object), config: tinyConfig }), {
    "": {
      seed,
      device,
      tokenizer,
      merges: text("a b"),
      adapter: none,
      endpoint: none,
      revision: none,
      headers: none,
    } satisfies Omit<Table<CreateOptions>, "config" | "from">,
  }),
  ...nested("ClipTrainer.create", (options) => ClipTrainer.create(options), {
    "": { config: column([7, "a", [], null, true]) },
  }),
  ...nested(
    "ClipTrainer.create",
    (options) => ClipTrainer.create({ ...(options as object), from: new Uint8Array() } as never),
    {
      "": {
        device,
        tokenizer,
        seed: none,
        merges: none,
        config: none,
        endpoint: LOAD.endpoint,
        headers: LOAD.headers,
        revision: column([7, "", []]),
      },
    },
  ),
  ...nested("ClipTrainer.resume", (options) => ClipTrainer.resume(new Uint8Array(), options), {
    "": { device } satisfies Table<ResumeTrainerOptions>,
  }),
  ...nested("fit", runFit, { "": FIT, muon: MUON, lora: LORA, augment: AUGMENT, ...ofRun }),
  ...nested("resumeFit", resumeFit, { "": RUN, ...ofRun }),
  ...nested("evaluate", evaluate, { "": EVALUATE, zeroShot: ZERO_SHOT }),
  ...nested("estimateFit", (options) => estimateFit({ config: tinyConfig, device: "cpu" }, colourPairs(8), options), {
    "": FIT,
    lora: LORA,
  }),
  ...nested("encodeText", (options) => trainer.encodeText("red", options), {
    "": { truncate: flag } satisfies Table<EncodeTextOptions>,
  }),
  ...nested("tokenize", (options) => trainer.tokenize("red", options), {
    "": { truncate: flag } satisfies Table<EncodeTextOptions>,
  }),
  ...nested("encodeImages", (options) => all(trainer.encodeImages([], options)), {
    "": { batchSize: count, badImages: name("yield", "stop") } satisfies Table<EncodeImagesOptions>,
  }),
  ...nested("zeroShotClassifier", (options) => trainer.zeroShotClassifier(["red"], options), {
    "": { templates, truncate: flag } satisfies Table<LabelOptions>,
  }),
  ...nested(
    "classify",
    async (options) => (await trainer.zeroShotClassifier(["red 0"], { templates: "{}" })).classify(embeddings, options),
    { "": { topK: count } satisfies Table<ClassifyOptions> },
  ),
  ...nested("linearProbe", (options) => trainer.linearProbe(embeddings, ["red"], options), {
    "": { c: above0 } satisfies Table<ProbeOptions>,
  }),
  ...nested("topK", (options) => topK(embeddings, embeddings, options), {
    "": { k: count, row: count0 } satisfies Table<TopKOptions>,
  }),
  ...nested(
    "trainStep",
    (options) => trainer.trainStep({ pixelValues: new Float32Array(), inputIds: new Int32Array() }, options),
    {
      "": { lr: above0 },
    },
  ),
  ...nested("imageFolder", (options) => all(imageFolder([], options)), {
    "": { ...COLUMNS, captions, encoding, table: text("a.csv") } satisfies Table<ImageFolderOptions>,
  }),
  ...nested("webDataset", (options) => all(webDataset([], options)), {
    "": { captions, encoding, shuffle: count0, seed } satisfies Table<WebDatasetOptions>,
  }),
  ...nested("captionTable", (options) => all(captionTable(new Uint8Array(), options)), {
    "": {
      ...COLUMNS,
      encoding,
      images: column([7, true, null], "folder", [], () => ""),
    } satisfies Table<CaptionTableOptions>,
  }),
  ...nested("a checkpoint's files", (options) => Clip.load({ ...(options as object), weights: new Uint8Array() }), {
    "": {
      config: column([7, true, null, [], new Float32Array(1), () => 1], "{}", {}, new Uint8Array()),
      preprocess: column([7, true, null, []], "{}", {}),
      tokenizer: column([7, true, null, [], new Map()], "{}", {}),
      tokenizerConfig: column([7, true, null, []], "{}", {}),
      merges: column([7, true, null, [], {}, new Float32Array(1)], "a b", new Uint8Array()),
      vocab: column([7, true, null, []], "{}", {}),
      specialTokens: column([7, true, null, []], "{}", {}),
      addedTokens: column([7, true, null, []], "{}", {}),
    } satisfies Omit<Table<CheckpointParts>, "weights">,
  }),
];

/** An option that no call has. It is refused only when the options before it are accepted. */
const UNKNOWN = "zzz";
const nameOf = (path: string, option: string) => `${path === "" ? "" : `${path}.`}${option}`;
const refused = (path: string, option: string) => `invalid option ${nameOf(path, option)}: expected `;
const unknown = (path: string, option: string) => `unknown option ${nameOf(path, option)}: `;

describe.each(calls)("%s %s", (_, path, table, run) => {
  const rows = Object.entries(table as Record<string, Column>);

  test.each(rows)("%s: wrong values are refused by name, right ones are accepted", async (option, { wrong, right }) => {
    for (const value of wrong) {
      const error = await failure(() => run({ [option]: value } as never));
      expect(error.code, error.message).toBe("invalid-option");
      expect(error.message.startsWith(refused(path, option)), error.message).toBe(true);
      expect(error.message).toMatch(/, got ./);
      expect(error.message.length).toBeLessThan(500);
    }
    for (const value of [undefined, ...right]) {
      const error = await failure(() => run({ [option]: value, [UNKNOWN]: 1 } as never));
      expect(error.message.startsWith(unknown(path, UNKNOWN)), `${String(value)}: ${error.message}`).toBe(true);
    }
  });

  test("misspelt names are refused with a suggestion", async () => {
    for (const [option] of rows) {
      const snake = option.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      for (const other of new Set([snake, option.toUpperCase(), `${option}_`])) {
        if (other === option) continue;
        const error = await failure(() => run({ [other]: 1 } as never));
        expect(error).toMatchObject({ code: "invalid-option" });
        expect(error.message).toContain(`${unknown(path, other)}did you mean ${nameOf(path, option)}? `);
      }
    }
    const error = await failure(() => run({ ["x".repeat(1000)]: 1 } as never));
    expect(error.message.length).toBeLessThan(1000);
  });
});

test.each([
  ["optimizer", "muon", "muon"],
  ["optim", "adamw", "muon"],
  ["learning_rate", 1, "lr"],
  ["learningRate", 1, "lr"],
  ["epoch", 1, "epochs"],
  ["num_train_epochs", 1, "epochs"],
  ["batch", 1, "batchSize"],
  ["bachSize", 1, "batchSize"],
  ["warmupSteps", 1, "warmup"],
  ["wd", 1, "weightDecay"],
  ["trucate", true, "truncate"],
  ["lr_scheduler", "cosine", "schedule"],
  ["flip", 0.5, "augment.flip"],
  ["patience", 3, "evaluation.patience"],
  ["rank", 4, "lora.rank"],
  ["momentum", 0.9, "muon.momentum"],
  ["max_grad_norm", 1, "clipNorm"],
  ["fp16", true, "precision"],
  ["freeze", "image", "lock"],
  ["gradient_checkpointing", true, "activationCheckpointing"],
])("fit({ %s }) suggests the option that was meant", async (option, value, meant) => {
  const error = await failure(() => runFit({ [option]: value } as never));
  expect(error.code).toBe("invalid-option");
  expect(error.message).toContain(`did you mean ${meant}?`);
});

test("a name unlike any option gets no suggestion", async () => {
  for (const option of ["__proto__x", "constructor", "toString", "hasOwnProperty", "zzzzzz", "", "_"]) {
    const error = await failure(() => runFit({ [option]: 1 } as never));
    expect(error.message).toMatch(/^unknown option .* fit\(\) takes activationCheckpointing, /);
    expect(error.message).not.toContain("did you mean");
  }
  // inherited options count as given
  class Settings {
    epochs = "8";
  }
  expect((await failure(() => runFit(new Settings() as never))).message).toMatch(
    /epochs: expected a whole number above 0, got the string "8"$/,
  );
  const inherited = Object.create({ optimizer: "muon" });
  expect((await failure(() => runFit(inherited))).message).toMatch(/did you mean muon\?/);
});

test("options that are no object, and missing required options", async () => {
  for (const options of [null, 7, "epochs", [], () => 1, true, new Map()]) {
    for (const call of [
      () => runFit(options as never),
      () => evaluate(options as never),
      () => trainer.encodeText("red", options as never),
      () => Clip.load(new Uint8Array(), options as never),
    ]) {
      const error = await failure(call);
      expect(error.code).toBe("invalid-option");
      expect(error.message).toMatch(/^invalid options of .*: expected an object, got /);
    }
  }
  const lacks: [FitOptions, string][] = [
    [{ muon: {} as never }, "muon.lr"],
    [{ lora: { rank: 4 } as never }, "lora.alpha"],
    [{ evaluation: { pairs: [] } as never }, "evaluation.every"],
    [{ evaluation: { every: 1 } as never }, "evaluation.pairs"],
    [{ evaluation: { pairs: [], every: 1, zeroShot: { images: [] } as never } }, "evaluation.zeroShot.labels"],
  ];
  for (const [options, option] of lacks) {
    const { message } = await failure(() => runFit(options));
    expect(message).toMatch(new RegExp(`^invalid option ${option}: expected .*, got undefined$`));
  }
  expect((await failure(() => ClipTrainer.create({ form: "x" } as never))).message).toMatch(/did you mean from\?/);
  const { message } = await failure(() => Clip.load("./here", { revision: "main" }));
  expect(message).toMatch(/^invalid option revision: only Hub ids have revisions, got "main"/);
});

test("positional arguments are checked, too", async () => {
  const layouts = [{ layout: {} }, 7, null, {}, [], "onnx", "", new Uint8Array(9), () => "hf", true];
  const numbers = { pixelValues: new Float32Array(2 * 768), inputIds: new Int32Array(16) };
  const wrong: [string, readonly unknown[], (value: never) => unknown][] = [
    ["layout", layouts, (layout) => trainer.exportSafetensors(layout)],
    ["layout", layouts, (layout) => trainer.exportFiles(layout)],
    ["layout", layouts, (layout) => trainer.gradients(numbers, layout)],
    [
      "pixelValues",
      [7, "a", null, [0], {}, new Uint8Array(768), new Float64Array(768), undefined],
      (pixelValues) => trainer.encodeImage({ pixelValues }),
    ],
    ["pixelValues", [7, [0], undefined], (pixelValues) => trainer.gradients({ ...numbers, pixelValues })],
    [
      "inputIds",
      [7, "a", null, [0], {}, new Uint8Array(8), new BigInt64Array(8), undefined],
      (inputIds) => trainer.encodeText({ inputIds }),
    ],
    ["inputIds", [7, [0], undefined], (inputIds) => trainer.trainStep({ ...numbers, inputIds }, { lr: 1 })],
    ["texts", [7, null, {}, [7], ["a", null], new Array(3), undefined], (texts) => trainer.encodeText(texts)],
    ["texts", [7, null, {}, [{}]], (texts) => trainer.tokenize(texts)],
    ["labels", labels.wrong, (labels) => trainer.zeroShotClassifier(labels)],
    ["labels", labels.wrong, (labels) => trainer.linearProbe(embeddings, labels)],
    ["images.data", ["a", [1], { length: 1e9 }, 7], (data) => trainer.logits({ ...embeddings, data }, embeddings)],
    ["texts.shape", ["a", [1], [16], 7, [1.5, 2]], (shape) => trainer.logits(embeddings, { ...embeddings, shape })],
    ["images.normalized", [false, 1], (normalized) => trainer.logits({ ...embeddings, normalized }, embeddings)],
    ["queries.data", [[1], "a"], (data) => topK({ ...embeddings, data }, embeddings)],
  ];
  for (const [option, values, call] of wrong) {
    for (const value of values) {
      const error = await failure(() => call(value as never));
      expect(error.code, error.message).toBe("invalid-option");
      expect(error.message).toMatch(new RegExp(`^invalid option ${option}: expected .*, got .`));
    }
  }
  for (const target of [7, {}, null, "", new Uint8Array()]) {
    expect((await failure(() => trainer.saveCheckpoint(target as never))).code).toBe("invalid-source");
  }
  for (const source of [7, {}, null, undefined]) {
    expect((await failure(() => ClipTrainer.resume(source as never))).code).toBe("invalid-source");
  }
});

test("embeddings of another width or length than their shape", async () => {
  const other = { ...embeddings, shape: [2, 8] as [number, number] };
  for (const call of [
    () => trainer.logits(other, embeddings),
    () => trainer.logits(embeddings, other),
    () => trainer.logits({ ...embeddings, shape: [3, 16] }, embeddings),
    () => topK(embeddings, { ...embeddings, shape: [2, 16] }),
  ]) {
    expect(await failure(call)).toMatchObject({ code: "shape-mismatch" });
  }
});

test("no refused call has changed the model", async () => {
  expect(sameBytes(await trainer.exportSafetensors(), before)).toBe(true);
});
