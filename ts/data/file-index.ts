/** Files by the names that tables have for them. */

import { ClipError } from "../../workers/protocol/error.js";
import type { ImageInput } from "../inputs/images.js";
import { composed, type FolderFile, folderOf, splitPath } from "./folder.js";
import { contentOf, inspect } from "./sniff.js";

/** A name in a table as a path in the folder; nothing for one that leads out of it. */
function resolveName(name: string, beside: string): string | undefined {
  if (name.startsWith("/")) return undefined;
  const parts: string[] = [];
  for (const part of `${beside}${name}`.split("/")) {
    if (part === ".." && parts.pop() === undefined) return undefined;
    if (part !== "" && part !== "." && part !== "..") parts.push(part);
  }
  return parts.join("/");
}

/** What is left of a path without capitals, without its extension, without its folders. */
function restsOf(path: string): string[] {
  const lower = composed(path).toLowerCase();
  return [`=${lower}`, `.${splitPath(lower)[0]}`, `/${lower.slice(folderOf(lower).length)}`];
}

/** Finds files by names: with `/` or `\`, with `./` and `../`, composed or not. */
export class FileIndex {
  readonly #byPath = new Map<string, FolderFile>();
  readonly #byRest = new Map<string, FolderFile>();

  constructor(files: readonly FolderFile[]) {
    for (const file of files) {
      this.#byPath.set(composed(file.path), file);
      for (const rest of restsOf(file.path)) if (!this.#byRest.has(rest)) this.#byRest.set(rest, file);
    }
  }

  /** The file of a name that begins in the folder `beside`. */
  find(name: string, beside = ""): FolderFile | undefined {
    for (const spelling of [name, name.replaceAll("\\", "/")]) {
      const path = resolveName(composed(spelling), beside);
      const file = path === undefined ? undefined : this.#byPath.get(path);
      if (file) return file;
    }
    return undefined;
  }

  /** For messages: a question for the file that a name could have meant, or nothing. */
  hint(name: string): string {
    const rests = restsOf(name.replaceAll("\\", "/"));
    const near = rests.map((rest) => this.#byRest.get(rest)).find((file) => file !== undefined);
    return near ? `: did you mean ${near.path}?` : "";
  }

  /** @throws ClipError `invalid-dataset` */
  get(name: string, beside = ""): FolderFile {
    const file = this.find(name, beside);
    if (file) return file;
    throw new ClipError("invalid-dataset", `expected a picture of that name, got none${this.hint(`${beside}${name}`)}`);
  }
}

/**
 * A file that is named as a picture, as `fit` takes it.
 *
 * @throws ClipError `invalid-dataset` for one that is none or cannot be decoded here
 */
export async function imageOf(file: FolderFile): Promise<ImageInput> {
  const head = await file.head();
  const { picture, problem } = inspect(head, splitPath(file.path)[1]);
  const content = picture ? undefined : contentOf(head);
  const wrong = problem ?? (content && `expected a picture, got ${content}`);
  if (wrong) throw new ClipError("invalid-dataset", `${file.path}: ${wrong}`);
  return file.image();
}

/** Finds pictures by their names among files. */
export function imageFinder(files: readonly FolderFile[]): (name: string) => Promise<ImageInput> {
  const index = new FileIndex(files);
  return async (name) => imageOf(index.get(name));
}
