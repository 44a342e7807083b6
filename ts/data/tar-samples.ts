/** Groups consecutive members of a tar file by key, as the `webdataset` library does. */

import { composed, splitPath } from "./folder.js";
import { couldBeImage, formatOfExtension } from "./image-format.js";
import type { ImageTextPair } from "./pairs.js";
import { badSample, type CaptionOptions, isNotice, sampleOfText } from "./sample.js";
import { type Inspection, inspect } from "./sniff.js";
import { readBody, type TarMember, tarError } from "./tar.js";

/** A member that is an image or a caption, or should be one. */
interface Part extends Inspection {
  name: string;
  /** Everything after the first dot of the file name, in lower case. */
  suffix: string;
  bytes: Uint8Array;
}

/** Bytes of the largest member that is read into memory, as of a downloaded image. */
const MAX_MEMBER_BYTES = 256 << 20;

/** Order in which OpenCLIP looks for the image of a sample (`data.py`: `image="jpg;png;jpeg;webp"`); other formats follow. */
const ORDER = ["jpg", "png", "jpeg", "webp"];

/**
 * Splits the name of a member as `base_plus_ext` of webdataset 1.0.2 does, except that a name without a dot is its own key.
 */
function splitName(name: string): [key: string, suffix: string] {
  const [, key = name, suffix = ""] = /^((?:.*\/|)[^.]+)[.]([^/]*)$/s.exec(name) ?? [];
  return [composed(key), suffix.toLowerCase()];
}

/** Whether a member is hidden, a file that a system adds to archives, or WebDataset's own (`__index__`). */
const isHidden = (name: string) =>
  /^__[^/]*__($|\/)/.test(name) || name.split("/").some((part) => /^\.(?!\.?$)|^__MACOSX$/.test(part));

/** Reads a member as a part of a sample; returns `undefined` for one that is neither an image nor a caption. */
async function readPart({ header, body }: TarMember, suffix: string): Promise<Part | undefined> {
  const { name, type } = header;
  const [, extension] = splitPath(`.${suffix}`);
  const caption = extension === "txt";
  if (type === "link" || type === "symlink") {
    await readBody(body);
    if (!caption && !formatOfExtension(extension)) return undefined;
    const problem = `a link to ${header.linkname?.slice(0, 200)} has no bytes in the tar`;
    return { name, suffix, isImage: !caption, bytes: new Uint8Array(), problem };
  }
  if (type !== "file" || !(caption || couldBeImage(extension))) {
    await readBody(body, () => false);
    return undefined;
  }
  if (header.size > MAX_MEMBER_BYTES) {
    await readBody(body, () => false);
    const problem = `expected at most ${MAX_MEMBER_BYTES} bytes, got ${header.size}`;
    return { name, suffix, isImage: !caption, bytes: new Uint8Array(), problem };
  }
  if (caption) return { name, suffix, isImage: false, bytes: await readBody(body) };
  let inspection: Inspection = { isImage: false };
  const bytes = await readBody(body, (head) => {
    inspection = inspect(head, extension);
    return inspection.isImage && !inspection.problem;
  });
  return inspection.isImage ? { name, suffix, ...inspection, bytes } : undefined;
}

const namesOf = (parts: readonly Part[]) =>
  parts
    .map(({ name }) => name)
    .join(", ")
    .slice(0, 400);

/** Yields errors for images and captions with more than one dot in their names: their keys differ. */
function* ofDotted(key: string, parts: readonly Part[], whole: boolean): Generator<ImageTextPair, void, undefined> {
  const stems = new Map<string, Part[]>();
  for (const part of parts) {
    const [stem] = splitPath(part.name);
    stems.set(stem, [...(stems.get(stem) ?? []), part]);
  }
  for (const [stem, alike] of stems) {
    const kinds = new Set(alike.map(({ isImage }) => isImage)).size;
    // 0001.depth.png beside 0001.png and 0001.txt is a further image of that sample
    if ((whole && kinds < 2) || alike.every(({ name, isImage }) => !isImage && isNotice(name))) continue;
    const reason = `the key ${key.slice(0, 200)} ends at the first dot of the file name`;
    yield badSample(stem, `no sample: ${namesOf(alike)}: ${reason}; remove other dots than that of the extension`);
  }
}

/** Yields the pair of a sample, and errors for the rest of it. */
function* ofSample(
  key: string,
  parts: readonly Part[],
  options: CaptionOptions,
): Generator<ImageTextPair, void, undefined> {
  const plain = parts.filter(({ suffix }) => !suffix.includes("."));
  const dotted = parts.filter((part) => !plain.includes(part));
  const twice = plain.find(({ suffix }, i) => plain.findIndex((other) => other.suffix === suffix) < i);
  const rank = ({ suffix, problem }: Part) => (ORDER.indexOf(suffix) + 1 || 9) + (problem ? 10 : 0);
  const [image, ...others] = plain.filter((part) => part.isImage).sort((a, b) => rank(a) - rank(b));
  const caption = plain.find((part) => !part.isImage);

  if (twice) yield badSample(key, `duplicate names: ${namesOf(plain)}`);
  else if (image?.problem) yield badSample(key, `${image.name}: ${image.problem}`);
  else if (caption?.problem) yield badSample(key, `${caption.name}: ${caption.problem}`);
  else if (image && caption) yield sampleOfText(key, image.bytes, caption.bytes, options);
  else if (image) yield badSample(key, "image without a caption (.txt)");
  else if (caption && !isNotice(caption.name)) {
    yield badSample(key, "caption without an image (.png, .jpg, .webp)");
  }
  for (const { name, problem } of twice ? [] : others) {
    yield badSample(
      name,
      `more than one image in the sample: ${image?.name} and ${name}${problem ? `: ${problem}` : ""}`,
    );
  }
  yield* ofDotted(key, dotted, image !== undefined && caption !== undefined);
}

/**
 * Groups parts into samples: consecutive ones with the same key. Links and names without a dot have no key in webdataset; they do not
 * separate the members of a sample.
 */
class Samples {
  #key: string | undefined;
  #parts: Part[] = [];
  #loose: Part[] = [];

  constructor(readonly options: CaptionOptions) {}

  /** Adds a member with a key; yields the sample that it ends. */
  *add(key: string, part: Part | undefined): Generator<ImageTextPair, void, undefined> {
    if (key !== this.#key) yield* this.end(key);
    this.#key = key;
    if (part) this.#parts.push(part);
  }

  addLoose(key: string, part: Part): void {
    (key === this.#key ? this.#parts : this.#loose).push(part);
  }

  /** Yields the current sample when one with the key `next` begins, or at the end. */
  *end(next?: string): Generator<ImageTextPair, void, undefined> {
    if (this.#key !== undefined) yield* ofSample(this.#key, this.#parts, this.options);
    const loose = this.#loose.map((part) => ({ part, key: splitName(part.name)[0] }));
    this.#parts = loose.filter(({ key }) => key === next).map(({ part }) => part);
    this.#loose = [];
    for (const { part, key } of loose.filter(({ key }) => key !== next)) yield* ofSample(key, [part], this.options);
  }
}

/**
 * Reads the pairs of a tar file's members.
 *
 * @throws ClipError `invalid-dataset` for a file that is no tar file or is truncated
 */
export async function* readSamples(
  members: AsyncIterable<TarMember>,
  options: CaptionOptions,
): AsyncGenerator<ImageTextPair, void, undefined> {
  const samples = new Samples(options);
  try {
    for await (const member of members) {
      const { name, type } = member.header;
      if (isHidden(name)) {
        await readBody(member.body, () => false);
        continue;
      }
      const [key, suffix] = splitName(name);
      const part = await readPart(member, suffix);
      if (type === "file" && suffix !== "") yield* samples.add(key, part);
      else if (part) samples.addLoose(key, part);
    }
  } catch (error) {
    throw tarError(error);
  }
  yield* samples.end();
}
