/** A folder or a file on disk, in Node. */

import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ClipError } from "../../protocol/error.js";
import { excerpt } from "../../protocol/excerpt.js";
import { isMissing, readPieces } from "../../storage/read-file.node.js";
import type { Source, SourceFile } from "./source.js";
import { readText } from "./text.js";

/** How deep subfolders are listed: the Hub's cache has models in `snapshots/<commit>`. */
const DEPTH = 3;

/** A folder on disk, or one file of it: then the files beside it belong to the same model. */
export class FolderSource implements Source {
  readonly label: string;
  readonly only: string | undefined;
  readonly #folder: string;

  private constructor(folder: string, only: string | undefined) {
    this.label = only === undefined ? folder : join(folder, only);
    this.#folder = folder;
    this.only = only;
  }

  /**
   * Opens a folder or a file.
   *
   * @throws ClipError `source-unreadable` if it does not exist
   */
  static async open(path: string): Promise<FolderSource> {
    try {
      const found = await stat(path);
      return found.isDirectory() ? new FolderSource(path, undefined) : new FolderSource(dirname(path), basename(path));
    } catch (error) {
      const { message } = error as Error;
      const forms = "a Hub id has the form owner/model, an address starts with https://";
      throw new ClipError(
        "source-unreadable",
        `cannot read the folder or file ${excerpt(path)}: ${excerpt(message)} (${forms})`,
        { cause: error },
      );
    }
  }

  /** Opens a folder; `undefined` if it does not exist. */
  static async find(path: string): Promise<FolderSource | undefined> {
    const found = await stat(path).catch(() => undefined);
    return found?.isDirectory() ? new FolderSource(path, undefined) : undefined;
  }

  async list(): Promise<string[]> {
    return readdir(this.#folder);
  }

  async tree(): Promise<string[]> {
    const paths: string[] = [];
    const walk = async (below: string, depth: number): Promise<void> => {
      const entries = await readdir(join(this.#folder, below), { withFileTypes: true }).catch(() => []);
      for (const entry of entries) {
        const path = below === "" ? entry.name : `${below}/${entry.name}`;
        if (!entry.isDirectory()) paths.push(path);
        else if (depth < DEPTH && !/^\.|^node_modules$/.test(entry.name)) await walk(path, depth + 1);
      }
    };
    await walk("", 0);
    return paths;
  }

  async text(name: string): Promise<string | undefined> {
    const bytes = await readFile(join(this.#folder, name)).catch((error) => {
      if (isMissing(error)) return undefined;
      throw new ClipError("source-unreadable", `${name}: ${(error as Error).message}`, { cause: error });
    });
    return bytes && readText(name, bytes);
  }

  async open(name: string): Promise<SourceFile | undefined> {
    const path = join(this.#folder, name);
    const found = await stat(path).catch((error) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    return found && { name, size: found.size, stream: (begin, end) => readPieces(path, begin, end) };
  }
}
