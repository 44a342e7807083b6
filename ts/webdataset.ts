/** WebDataset: tar files in which the members of one sample share a name and differ in the extension. */

import { createTarDecoder } from "modern-tar";
import { ClipError } from "../workers/error.js";
import { describe } from "./describe.js";
import type { ImageTextPair } from "./pairs.js";

/** A shard: its bytes, all at once or as they arrive. */
export type WebDatasetSource = Uint8Array<ArrayBuffer> | ArrayBuffer | Blob | Response | ReadableStream<Uint8Array>;

const IMAGE_EXTENSIONS: ReadonlySet<string> = new Set(["png", "jpg", "jpeg", "webp", "gif", "bmp"]);
const TAR_BLOCK = 512;

function toStream(source: WebDatasetSource): ReadableStream<Uint8Array> {
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) return new Blob([source]).stream();
  if (source instanceof Blob) return source.stream();
  if (source instanceof ReadableStream) return source;
  if (source instanceof Response) {
    if (source.ok && source.body) return source.body;
    throw new ClipError("invalid-dataset", `expected a tar file, got HTTP ${source.status} from ${source.url}`);
  }
  throw new ClipError(
    "invalid-source",
    `expected a tar file as bytes, Blob, Response or ReadableStream, got ${describe(source)}`,
  );
}

/**
 * Whether the bytes seen end as a tar file does: whole blocks, the last of them zeros. A decoder alone takes a file cut
 * between two members for a complete one.
 */
function endWatcher(): { stream: TransformStream<Uint8Array, Uint8Array>; check(): void } {
  let length = 0;
  let zerosAtEnd = 0;
  return {
    stream: new TransformStream({
      transform(chunk, controller) {
        length += chunk.length;
        const lastByte = chunk.findLastIndex((byte) => byte !== 0);
        zerosAtEnd = lastByte === -1 ? zerosAtEnd + chunk.length : chunk.length - 1 - lastByte;
        controller.enqueue(chunk);
      },
    }),
    check() {
      if (length % TAR_BLOCK === 0 && zerosAtEnd >= 2 * TAR_BLOCK) return;
      throw new ClipError(
        "invalid-dataset",
        `truncated tar: expected two blocks of zeros at its end, got ${length} bytes without`,
      );
    },
  };
}

/** Directory and stem, and extension: WebDataset splits at the first dot of the file's name. */
function splitName(path: string): [key: string, extension: string] {
  const dot = path.indexOf(".", path.lastIndexOf("/") + 1);
  return dot === -1 ? [path, ""] : [path.slice(0, dot), path.slice(dot + 1).toLowerCase()];
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
}

/**
 * Reads the pairs of a shard as it streams: a picture (`.png`, `.jpg`, `.webp`) and a caption (`.txt`) each. Other
 * members are passed over.
 *
 * @throws ClipError `invalid-dataset` for a truncated tar, a picture without a caption or a caption without a picture
 *
 * @example
 * for await (const event of trainer.fit(webDataset(await fetch("pairs.tar")))) { … }
 */
export async function* webDataset(source: WebDatasetSource): AsyncGenerator<ImageTextPair, void, undefined> {
  const end = endWatcher();
  const entries = toStream(source)
    .pipeThrough(end.stream)
    .pipeThrough(createTarDecoder({ strict: true }));
  let key: string | undefined;
  let image: Uint8Array | undefined;
  let text: string | undefined;

  const finish = (): ImageTextPair | undefined => {
    if (key === undefined || (image === undefined && text === undefined)) return undefined;
    if (image === undefined || text === undefined) {
      const [has, lacks] = image ? ["a picture", "caption (.txt)"] : ["a caption", "picture (.png, .jpg, .webp)"];
      throw new ClipError(
        "invalid-dataset",
        `sample ${key}: expected a picture and a caption, got ${has} without a ${lacks}`,
      );
    }
    const pair = { key, image, text };
    key = image = text = undefined;
    return pair;
  };

  try {
    for await (const { header, body } of entries) {
      const [stem, extension] = splitName(header.name);
      const isImage = IMAGE_EXTENSIONS.has(extension);
      if (header.type !== "file" || !(isImage || extension === "txt")) {
        await body.cancel();
        continue;
      }
      if (stem !== key) {
        const pair = finish();
        if (pair) yield pair;
        key = stem;
      }
      const bytes = await readAll(body);
      if (isImage) image = bytes;
      else text = new TextDecoder().decode(bytes).trim();
    }
  } catch (error) {
    if (error instanceof ClipError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new ClipError("invalid-dataset", `expected a whole tar file, got: ${message}`, { cause: error });
  }
  end.check();
  const pair = finish();
  if (pair) yield pair;
}
