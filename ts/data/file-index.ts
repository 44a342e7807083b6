/** Finds files by the names that tables give them. */

import { ClipError } from "../../workers/protocol/error.js";
import type { ImageInput } from "../inputs/images.js";
import { composed, type FolderFile, folderOf, splitPath } from "./folder.js";
import { contentOf, inspect } from "./sniff.js";

/** Resolves a name in a table to a path in the folder; `undefined` for one that leads out of it. */
function resolveName(name: string, beside: string): string | undefined {
  if (name.startsWith("/")) return undefined;
  const parts: string[] = [];
  for (const part of `${beside}${name}`.split("/")) {
    if (part === ".." && parts.pop() === undefined) return undefined;
    if (part !== "" && part !== "." && part !== "..") parts.push(part);
  }
  return parts.join("/");
}

/** Returns keys under which similar paths meet: in lower case, without extension, without folders. */
function similarKeys(path: string): string[] {
  const lower = composed(path).toLowerCase();
  return [`=${lower}`, `.${splitPath(lower)[0]}`, `/${lower.slice(folderOf(lower).length)}`];
}

/** Files by path. Names may use `/` or `\`, `./` and `../`, NFC or NFD. */
export class FileIndex {
  readonly #byPath = new Map<string, FolderFile>();
  readonly #bySimilar = new Map<string, FolderFile>();

  constructor(files: readonly FolderFile[]) {
    for (const file of files) {
      this.#byPath.set(composed(file.path), file);
      for (const key of similarKeys(file.path)) if (!this.#bySimilar.has(key)) this.#bySimilar.set(key, file);
    }
  }

  /** Returns the file of a name relative to the folder `beside`. */
  find(name: string, beside = ""): FolderFile | undefined {
    for (const spelling of [name, name.replaceAll("\\", "/")]) {
      const path = resolveName(composed(spelling), beside);
      const file = path === undefined ? undefined : this.#byPath.get(path);
      if (file) return file;
    }
    return undefined;
  }

  /** Returns "did you mean …?" for messages where a file of a similar name exists, and "" otherwise. */
  hint(name: string): string {
    const keys = similarKeys(name.replaceAll("\\", "/"));
    const near = keys.map((key) => this.#bySimilar.get(key)).find((file) => file !== undefined);
    return near ? `; did you mean ${near.path}?` : "";
  }

  /** @throws ClipError `invalid-dataset` */
  get(name: string, beside = ""): FolderFile {
    const file = this.find(name, beside);
    if (file) return file;
    throw new ClipError("invalid-dataset", `no image of that name${this.hint(`${beside}${name}`)}`);
  }
}

/**
 * Returns a file that a table names as an image, as `fit` takes it.
 *
 * @throws ClipError `invalid-dataset` for a file that is no image, or cannot be decoded here
 */
export async function imageOf(file: FolderFile): Promise<ImageInput> {
  const head = await file.head();
  const { isImage, problem } = inspect(head, splitPath(file.path)[1]);
  const content = isImage ? undefined : contentOf(head);
  const wrong = problem ?? (content && `expected an image, got ${content}`);
  if (wrong) throw new ClipError("invalid-dataset", `${file.path}: ${wrong}`);
  return file.image();
}

/** Returns a function that finds images by name among files. */
export function imageFinder(files: readonly FolderFile[]): (name: string) => Promise<ImageInput> {
  const index = new FileIndex(files);
  return async (name) => imageOf(index.get(name));
}
