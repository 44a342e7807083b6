/**
 * The records of the cache, and the names of its files:
 *
 * - `blob-<sha256>`: bytes of a file or of a part of one, named by their SHA-256;
 * - `part-<key>` and `part-<key>.json`: an unfinished download, and the state of the file on the server that it belongs to;
 * - `object-<key>.json`: which blob holds which bytes of which URL, as the server had them last;
 * - `model-<key>.json`: a manifest: the small files of a model and the blobs that it consists of. It is written when the model
 *   has been loaded, and replaced when a newer one has been.
 */

import type { Towers } from "../../protocol/config.js";
import type { EncodingWasm } from "../../runtime/wasm.js";
import type { Folder } from "../../storage/folder.js";
import type { Version } from "../sources/remote-file.js";

/** Bytes `[begin, end)` of a version of a file, in a blob. */
export interface CachedObject extends Version {
  url: string;
  begin: number;
  end: number;
  sha256: string;
}

/** The version of the file that an unfinished download belongs to. */
export interface PartialDownload extends Version {
  url: string;
  size: number;
}

/** A cached model. */
export interface Manifest {
  base: string;
  towers: Towers;
  /** Small files by name; `null` for those that the server does not have. */
  texts: Record<string, string | null>;
  /** Sizes of the large files in bytes, by name. */
  sizes: Record<string, number>;
  objects: CachedObject[];
  /** Milliseconds since 1970. */
  time: number;
}

/** Names and reads the cache's records. */
export class CacheRecords {
  readonly #folder: Folder;
  readonly #wasm: EncodingWasm;

  constructor(folder: Folder, wasm: EncodingWasm) {
    this.#folder = folder;
    this.#wasm = wasm;
  }

  #key(...parts: unknown[]): string {
    const sum = new this.#wasm.Sha256();
    sum.update(new TextEncoder().encode(JSON.stringify(parts)));
    return sum.finish().slice(0, 32);
  }

  /** Name of a model's manifest. */
  manifestName(base: string, towers: Towers): string {
    return `model-${this.#key(base, towers)}.json`;
  }

  /** Name of an object's record. */
  objectName(url: string, begin: number, end: number): string {
    return `object-${this.#key(url, begin, end)}.json`;
  }

  /** Name of the download of an object. */
  partName(url: string, begin: number, end: number): string {
    return `part-${this.#key(url, begin, end)}`;
  }

  /** Reads a record; removes it if it is not JSON. */
  async read<T>(name: string): Promise<T | undefined> {
    const text = await this.#folder.readText(name);
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text) as T;
    } catch {
      await this.#folder.remove(name);
      return undefined;
    }
  }

  /** Reads a manifest; `undefined` if there is none, or it has another form. */
  async readManifest(name: string): Promise<Manifest | undefined> {
    const manifest = await this.read<Manifest>(name);
    const objects: unknown = manifest?.objects;
    const isManifest = Array.isArray(objects) && objects.every((object) => typeof object?.sha256 === "string");
    return isManifest ? manifest : undefined;
  }

  /** Reads all manifests. */
  async manifests(): Promise<{ name: string; manifest: Manifest }[]> {
    const names = (await this.#folder.list()).filter((name) => /^model-.*\.json$/.test(name));
    const found = await Promise.all(names.map(async (name) => ({ name, manifest: await this.readManifest(name) })));
    return found.flatMap(({ name, manifest }) => (manifest ? [{ name, manifest }] : []));
  }

  /** Whether all bytes of an object are in its blob. */
  async isWhole({ begin, end, sha256 }: CachedObject): Promise<boolean> {
    return (await this.#folder.size(`blob-${sha256}`)) === end - begin;
  }
}
