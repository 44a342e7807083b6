/** The model whose vectors an index has, and how it is recognised. */

import { ClipError } from "../../workers/protocol/error.js";
import type { Embeddings } from "../encode/embeddings.js";
import type { ImageInput } from "../inputs/images.js";

/** What embeds texts and images: a `Clip`, or any other model in this form. One of the two is enough. */
export interface EmbeddingModel {
  /** Returns a row for each text. */
  encodeText?(texts: string[], options?: { truncate?: boolean }): Promise<Pick<Embeddings, "data" | "shape">>;
  /** Returns a row for each image. */
  encodeImage?(images: ImageInput[]): Promise<Pick<Embeddings, "data" | "shape">>;
}

/** A model's vectors of inputs that never change, as they are stored: by them it is recognised. */
interface Probes {
  text?: Float32Array;
  image?: Float32Array;
}

const PROBE_TEXT = "a red apple";

/** A picture of 61 × 47 pixels, whose resizing, cropping and normalisation all show in its vector. */
function probeImage(): ImageInput {
  const [width, height] = [61, 47];
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const isInside = (x - 20) ** 2 + (y - 24) ** 2 < 200;
      data.set(
        isInside ? [220, 30, 40] : [4 * x, 5 * y, ((x >> 3) + (y >> 3)) % 2 === 0 ? 200 : 60],
        3 * (y * width + x),
      );
    }
  }
  return { data, width, height };
}

/**
 * Least cosine similarity of the probes of one model, loaded in another precision or on another device. Its vectors are then as good
 * as the same; docs/decisions/0045 says how far apart models are.
 */
const SAME = 0.97;

const known = new WeakMap<EmbeddingModel, Promise<Probes>>();

async function probe(model: EmbeddingModel): Promise<Probes> {
  const probes: Probes = {};
  const encode = async (what: keyof Probes, embed: () => Promise<Pick<Embeddings, "data">> | undefined) => {
    try {
      const vector = (await embed())?.data;
      if (vector) probes[what] = vector;
    } catch (error) {
      // a checkpoint of one tower
      if ((error as Partial<ClipError>).code !== "missing-tower") throw error;
    }
  };
  await encode("text", () => model.encodeText?.([PROBE_TEXT], { truncate: true }));
  await encode("image", () => model.encodeImage?.([probeImage()]));
  if (!probes.text && !probes.image)
    throw new ClipError(
      "invalid-option",
      "invalid option model: expected a Clip, or encodeText or encodeImage, got neither",
    );
  return probes;
}

/** Vectors of the probes, made once a model. */
export function probesOf(model: EmbeddingModel): Promise<Probes> {
  const probes = known.get(model) ?? probe(model);
  known.set(model, probes);
  probes.catch(() => known.delete(model));
  return probes;
}

const length = (vector: Iterable<number>) => Math.sqrt([...vector].reduce((sum, x) => sum + x * x, 0));

/** A vector as text: bytes in proportion to its values. */
function toText(vector: Float32Array): string {
  const scale = 127 / vector.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-30);
  return btoa(String.fromCharCode(...Uint8Array.from(vector, (x) => Math.round(x * scale) & 0xff)));
}

const fromText = (text: string): Int8Array => Int8Array.from(atob(text), (char) => char.charCodeAt(0));

/** Fingerprint of a model: as it is kept in the header of an index. */
export const fingerprintOf = ({ text, image }: Probes): string =>
  JSON.stringify({ ...(text && { text: toText(text) }), ...(image && { image: toText(image) }) });

const PROBES = /^\{"(text|image)":"/;

/** How alike two models are, by the probes that both have; 1 if they have none in common. */
function similarity(probes: Probes, fingerprint: string): number {
  const stored: Partial<Record<keyof Probes, string>> = JSON.parse(fingerprint);
  let least = 1;
  for (const what of ["text", "image"] as const) {
    const [a, text] = [probes[what], stored[what]];
    if (!a || text === undefined) continue;
    const b = fromText(text);
    const dot = a.length === b.length ? a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0) : 0;
    least = Math.min(least, dot / (length(a) * length(b)));
  }
  return least;
}

/** @throws ClipError `wrong-model` for a fingerprint that is damaged */
function storedProbes(fingerprint: string): Probes {
  try {
    const stored: Partial<Record<keyof Probes, string>> = JSON.parse(fingerprint);
    return Object.fromEntries(Object.entries(stored).map(([what, text]) => [what, Float32Array.from(fromText(text))]));
  } catch (error) {
    throw new ClipError("wrong-model", "the fingerprint of the model is damaged", { cause: error });
  }
}

/**
 * Refuses vectors of another model than the index has, by the fingerprint that they came with.
 *
 * @throws ClipError `wrong-model`
 */
export function checkFingerprint(other: string, fingerprint: string): void {
  checkModel(PROBES.test(other) ? storedProbes(other) : other, fingerprint);
}

/**
 * Refuses a model other than the one whose vectors an index has.
 *
 * @param model its probes, or the name that the caller gives it
 * @throws ClipError `wrong-model`
 */
export function checkModel(model: Probes | string, fingerprint: string): void {
  const wrong = (reason: string) =>
    new ClipError(
      "wrong-model",
      `the index has the vectors of another model (${reason}): open it with that model, or make a new index`,
    );
  const isNamed = !PROBES.test(fingerprint);
  if (typeof model === "string") {
    if (isNamed && model === fingerprint) return;
    throw wrong(
      isNamed
        ? `${JSON.stringify(fingerprint)}, not ${JSON.stringify(model)}`
        : "which was given as a model, not by name",
    );
  }
  if (isNamed) throw wrong(`which was named ${JSON.stringify(fingerprint)}: pass this name, and vectors`);
  const alike = similarity(model, fingerprint);
  if (alike < SAME) throw wrong(`whose vectors of the same input have the cosine ${alike.toFixed(3)} with this one's`);
}
