/** Members of a tar file as samples: those that follow one another and have one key, as the `webdataset` library has it. */

import { composed, splitPath } from "./folder.js";
import { couldBeImage, formatOfExtension } from "./image-format.js";
import type { ImageTextPair } from "./pairs.js";
import { badSample, type CaptionOptions, isNotice, sampleOfText } from "./sample.js";
import { type Inspection, inspect } from "./sniff.js";
import { readBody, type TarMember, tarError } from "./tar.js";

/** A member that is a picture or a caption, or should be one. */
interface Part extends Inspection {
  name: string;
  /** What follows the first dot of the file's name, in lower case. */
  suffix: string;
  bytes: Uint8Array;
}

/** In which order OpenCLIP looks for a sample's picture (`data.py`: `image="jpg;png;jpeg;webp"`); others come after. */
const ORDER = ["jpg", "png", "jpeg", "webp"];

/**
 * Key and suffix of a member, by `base_plus_ext` of webdataset 1.0.2. A name without a dot, which has none there, is its own
 * key here.
 */
function splitName(name: string): [key: string, suffix: string] {
  const [, key = name, suffix = ""] = /^((?:.*\/|)[^.]+)[.]([^/]*)$/s.exec(name) ?? [];
  return [composed(key), suffix.toLowerCase()];
}

/** What systems add to archives, and WebDataset's own (`__index__`). */
const isHidden = (name: string) =>
  /^__[^/]*__($|\/)/.test(name) || name.split("/").some((part) => /^\.(?!\.?$)|^__MACOSX$/.test(part));

/** A member as a part of a sample, its body read; nothing for what is neither a picture nor a caption. */
async function readPart({ header, body }: TarMember, suffix: string): Promise<Part | undefined> {
  const { name, type } = header;
  const [, extension] = splitPath(`.${suffix}`);
  const caption = extension === "txt";
  if (type === "link" || type === "symlink") {
    await readBody(body);
    if (!caption && !formatOfExtension(extension)) return undefined;
    const problem = `expected a file, got a link to ${header.linkname?.slice(0, 200)}, which has no bytes in the tar`;
    return { name, suffix, picture: !caption, bytes: new Uint8Array(), problem };
  }
  if (type !== "file" || !(caption || couldBeImage(extension))) {
    await readBody(body, () => false);
    return undefined;
  }
  if (caption) return { name, suffix, picture: false, bytes: await readBody(body) };
  let inspection: Inspection = { picture: false };
  const bytes = await readBody(body, (head) => {
    inspection = inspect(head, extension);
    return inspection.picture && !inspection.problem;
  });
  return inspection.picture ? { name, suffix, ...inspection, bytes } : undefined;
}

const namesOf = (parts: readonly Part[]) =>
  parts
    .map(({ name }) => name)
    .join(", ")
    .slice(0, 400);

/** Pictures and captions with a dot more in their names than keys have: no pair has them. */
function* ofDotted(key: string, parts: readonly Part[], whole: boolean): Generator<ImageTextPair, void, undefined> {
  const stems = new Map<string, Part[]>();
  for (const part of parts) {
    const [stem] = splitPath(part.name);
    stems.set(stem, [...(stems.get(stem) ?? []), part]);
  }
  for (const [stem, alike] of stems) {
    const kinds = new Set(alike.map(({ picture }) => picture)).size;
    // 0001.depth.png beside 0001.png and 0001.txt is another picture of theirs
    if ((whole && kinds < 2) || alike.every(({ name, picture }) => !picture && isNotice(name))) continue;
    const got = `got ${namesOf(alike)}: the key ${key.slice(0, 200)} ends at the first dot of the file's name`;
    yield badSample(stem, `expected names with no dot but that of the extension, ${got}`);
  }
}

/** The pair of a sample, and what is left of it. */
function* ofSample(
  key: string,
  parts: readonly Part[],
  options: CaptionOptions,
): Generator<ImageTextPair, void, undefined> {
  const plain = parts.filter(({ suffix }) => !suffix.includes("."));
  const dotted = parts.filter((part) => !plain.includes(part));
  const twice = plain.find(({ suffix }, i) => plain.findIndex((other) => other.suffix === suffix) < i);
  const rank = ({ suffix, problem }: Part) => (ORDER.indexOf(suffix) + 1 || 9) + (problem ? 10 : 0);
  const [picture, ...others] = plain.filter((part) => part.picture).sort((a, b) => rank(a) - rank(b));
  const caption = plain.find((part) => !part.picture);

  if (twice) yield badSample(key, `expected each name once, got ${namesOf(plain)}`);
  else if (picture?.problem) yield badSample(key, `${picture.name}: ${picture.problem}`);
  else if (caption?.problem) yield badSample(key, `${caption.name}: ${caption.problem}`);
  else if (picture && caption) yield sampleOfText(key, picture.bytes, caption.bytes, options);
  else if (picture) yield badSample(key, "expected a picture and a caption, got a picture without a caption (.txt)");
  else if (caption && !isNotice(caption.name)) {
    yield badSample(key, "expected a picture and a caption, got a caption without a picture (.png, .jpg, .webp)");
  }
  for (const { name, problem } of twice ? [] : others) {
    yield badSample(
      name,
      `expected one picture in a sample, got ${picture?.name} and ${name}${problem ? `: ${problem}` : ""}`,
    );
  }
  yield* ofDotted(key, dotted, picture !== undefined && caption !== undefined);
}

/**
 * Parts by their samples: those that follow one another with one key. What has no key there, links and names without a dot,
 * stands between the members of a sample without parting them.
 */
class Samples {
  #key: string | undefined;
  #parts: Part[] = [];
  #loose: Part[] = [];

  constructor(readonly options: CaptionOptions) {}

  /** Takes a member with a key; yields what that ends. */
  *add(key: string, part: Part | undefined): Generator<ImageTextPair, void, undefined> {
    if (key !== this.#key) yield* this.end(key);
    this.#key = key;
    if (part) this.#parts.push(part);
  }

  addLoose(key: string, part: Part): void {
    (key === this.#key ? this.#parts : this.#loose).push(part);
  }

  /** What is whole when a sample with the key `next` begins, or nothing more comes. */
  *end(next?: string): Generator<ImageTextPair, void, undefined> {
    if (this.#key !== undefined) yield* ofSample(this.#key, this.#parts, this.options);
    const loose = this.#loose.map((part) => ({ part, key: splitName(part.name)[0] }));
    this.#parts = loose.filter(({ key }) => key === next).map(({ part }) => part);
    this.#loose = [];
    for (const { part, key } of loose.filter(({ key }) => key !== next)) yield* ofSample(key, [part], this.options);
  }
}

/**
 * The pairs of a tar file's members.
 *
 * @throws ClipError `invalid-dataset` for what is no tar or ends too early
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
