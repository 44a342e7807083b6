/** Models that were downloaded, cached for the next load and for when the server cannot be reached. */

import type { Towers } from "../../protocol/config.js";
import type { CachedModel } from "../../protocol/load.js";
import type { EncodingWasm } from "../../runtime/wasm.js";
import type { Folder } from "../../storage/folder.js";
import { withoutCredentials } from "../sources/credentials.js";
import type { HttpSource } from "../sources/http.js";
import type { RemoteFile } from "../sources/remote-file.js";
import type { ReadContext } from "../sources/source.js";
import { CacheDownloads } from "./download.js";
import { type CachedObject, CacheRecords, type Manifest } from "./records.js";

/** The cache, in one folder. */
export class ModelCache {
  readonly #folder: Folder;
  readonly #wasm: EncodingWasm;
  readonly #records: CacheRecords;
  readonly #downloads: CacheDownloads;

  constructor(folder: Folder, wasm: EncodingWasm) {
    this.#folder = folder;
    this.#wasm = wasm;
    this.#records = new CacheRecords(folder, wasm);
    this.#downloads = new CacheDownloads(folder, this.#records, wasm);
  }

  /** Returns the manifest of a model if all its bytes are cached. */
  async manifest(base: string, towers: Towers): Promise<Manifest | undefined> {
    const manifest = await this.#records.readManifest(this.#records.manifestName(base, towers));
    const whole = await Promise.all(manifest?.objects.map((object) => this.#records.isWhole(object)) ?? []);
    return whole.every(Boolean) ? manifest : undefined;
  }

  /** Returns the object of bytes `[begin, end)` of a file, as `CacheDownloads.fetch` does. */
  fetch(
    source: HttpSource,
    file: RemoteFile,
    range: [begin: number, end: number],
    context: ReadContext,
  ): Promise<CachedObject> {
    return this.#downloads.fetch(source, file, range, context);
  }

  /** Reads bytes of an object; `begin` and `end` are offsets in its file. */
  stream(object: CachedObject, begin: number, end: number): AsyncIterable<Uint8Array> {
    return this.#folder.stream(`blob-${object.sha256}`, begin - object.begin, end - object.begin);
  }

  /** Writes a model's manifest, in place of an older one; `alone` removes those of the same URL with other towers. */
  async commit(manifest: Manifest, alone: boolean): Promise<void> {
    const own = this.#records.manifestName(manifest.base, manifest.towers);
    await this.#folder.writeText(own, JSON.stringify(manifest));
    for (const { name, manifest: other } of alone ? await this.#records.manifests() : []) {
      if (name !== own && other.base === manifest.base) await this.#folder.remove(name);
    }
    await this.#sweep();
  }

  /** Removes the records of objects, and their blobs unless a model consists of them. */
  async forget(objects: readonly CachedObject[]): Promise<void> {
    for (const { url, begin, end } of objects) await this.#folder.remove(this.#records.objectName(url, begin, end));
    await this.#sweep();
  }

  /** Compares a model's bytes with their SHA-256; removes the model if they differ. */
  async verify({ base, towers, objects }: Manifest): Promise<void> {
    for (const object of objects) {
      const sum = new this.#wasm.Sha256();
      for await (const piece of this.stream(object, object.begin, object.end)) sum.update(piece);
      if (sum.finish() === object.sha256) continue;
      await this.#folder.remove(this.#records.manifestName(base, towers));
      return this.forget(objects);
    }
  }

  /** Removes blobs that neither a manifest nor an object's record names. */
  async #sweep(): Promise<void> {
    const names = await this.#folder.list();
    const used = new Set<string>();
    const use = (object: CachedObject) => used.add(`blob-${object.sha256}`);
    for (const { manifest } of await this.#records.manifests()) manifest.objects.forEach(use);
    for (const name of names.filter((name) => name.startsWith("object-"))) {
      const object = await this.#records.read<CachedObject>(name);
      if (object) use(object);
    }
    for (const name of names) {
      if (name.startsWith("blob-") && !used.has(name)) await this.#folder.remove(name);
    }
  }

  /** Lists the cached models, the latest first. */
  async list(): Promise<CachedModel[]> {
    const manifests = await this.#records.manifests();
    const bytesOf = (objects: CachedObject[]) => objects.reduce((sum, { begin, end }) => sum + end - begin, 0);
    return manifests
      .map(({ manifest: { base, towers, objects, time } }) => ({ url: base, towers, bytes: bytesOf(objects), time }))
      .sort((a, b) => b.time - a.time);
  }

  /** Deletes the models of a URL with its unfinished downloads, or everything; returns how many models there were. */
  async delete(url?: string): Promise<number> {
    const base = url === undefined ? undefined : withoutCredentials(url);
    const [folder = "", query] = base?.split("?") ?? [];
    const deleted = (await this.#records.manifests()).filter(
      ({ manifest }) => base === undefined || manifest.base === base,
    );
    for (const { name } of deleted) await this.#folder.remove(name);
    for (const name of await this.#folder.list()) {
      if (!/^(object|part)-.*\.json$/.test(name)) continue;
      const [path, ownQuery] = (await this.#records.read<{ url?: string }>(name))?.url?.split("?") ?? [];
      // only if it ends with a slash: a folder's name may be the start of another's
      const isBelow = folder.endsWith("/") && path?.startsWith(folder);
      if (base !== undefined && !(ownQuery === query && (path === folder || isBelow))) continue;
      await this.#folder.remove(name);
      if (name.startsWith("part-")) await this.#folder.remove(name.slice(0, -".json".length));
    }
    await this.#sweep();
    return deleted.length;
  }
}
