import type { ClipError } from "../../protocol/error.js";
import type { Source, SourceFile } from "./source.js";

/** Returns the folder part of a path, "" if it has none. */
export const folderOf = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf("/")));

/** Returns the last part of a path. */
export const nameOf = (path: string) => path.slice(path.lastIndexOf("/") + 1);

/** A folder within a source. */
class SubfolderSource implements Source {
  readonly label: string;
  readonly #source: Source;
  readonly #folder: string;

  constructor(source: Source, folder: string) {
    this.label = `${source.label.replace(/\/$/, "")}/${folder}`;
    this.#source = source;
    this.#folder = folder;
  }

  get refusal(): ClipError | undefined {
    return this.#source.refusal;
  }

  async list(): Promise<string[] | undefined> {
    const paths = await this.#source.tree();
    return paths?.filter((path) => folderOf(path) === this.#folder).map(nameOf);
  }

  async tree(): Promise<undefined> {
    return undefined;
  }

  text(name: string): Promise<string | undefined> {
    return this.#source.text(`${this.#folder}/${name}`);
  }

  open(name: string): Promise<SourceFile | undefined> {
    return this.#source.open(`${this.#folder}/${name}`);
  }
}

/** Returns a folder within a source, or the source itself for "". */
export const subfolder = (source: Source, folder: string): Source =>
  folder === "" ? source : new SubfolderSource(source, folder);
