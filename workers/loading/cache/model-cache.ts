/**
 * Models that were loaded from a server, kept for the next time and for when there is no server.
 *
 * - `blob-<sha256>`: bytes of a file or of a part of one, known by their sum;
 * - `part-<key>`: the same on their way, taken up again after an interruption;
 * - `object-<key>.json`: which blob holds which bytes of which address, as the server had them last;
 * - `model-<key>.json`: written last, when a model has been loaded: its small files, and the blobs it is made of. They
 *   stay what they are until a newer model has been loaded in their place.
 */

import type { Towers } from "../../protocol/config.js";
import { ClipError } from "../../protocol/error.js";
import type { CachedModel } from "../../protocol/load.js";
import type { EncodingWasm } from "../../runtime/wasm.js";
import { type Folder, isDiskFull } from "../../storage/folder.js";
import { withoutCredentials } from "../sources/credentials.js";
import type { HttpSource, RemoteFile } from "../sources/http.js";
import type { ReadContext } from "../sources/source.js";

/** Bytes of a file that are kept. */
export interface CachedObject {
  url: string;
  begin: number;
  end: number;
  sha256: string;
  /** What the server called this state of the file. */
  etag: string | undefined;
}

interface PartNotes {
  url: string;
  etag: string | undefined;
  size: number;
}

/** A model that is kept. */
export interface Manifest {
  base: string;
  towers: Towers;
  texts: Record<string, string | null>;
  sizes: Record<string, number>;
  objects: CachedObject[];
  /** Milliseconds since 1970. */
  time: number;
}

/** The cache takes nothing: the model can still be loaded, only not be kept. */
export class CacheClosed extends Error {}

/** What a failure of the store means; others are handed on. */
export function closed(error: unknown): CacheClosed | undefined {
  if (error instanceof ClipError || (error as Error).name === "AbortError") return undefined;
  const reason = isDiskFull(error) ? "the disk, or this page's share of it, is full" : (error as Error).message;
  return new CacheClosed(reason, { cause: error });
}

/** All that is kept. */
export class ModelCache {
  readonly #store: Folder;
  readonly #wasm: EncodingWasm;

  constructor(store: Folder, wasm: EncodingWasm) {
    this.#store = store;
    this.#wasm = wasm;
  }

  #key(...parts: unknown[]): string {
    const sum = new this.#wasm.Sha256();
    sum.update(new TextEncoder().encode(JSON.stringify(parts)));
    return sum.finish().slice(0, 32);
  }

  async #json<T>(name: string): Promise<T | undefined> {
    const text = await this.#store.readText(name);
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text) as T;
    } catch {
      // not ours, or broken by another hand
      await this.#store.remove(name);
      return undefined;
    }
  }

  #manifestName(base: string, towers: Towers): string {
    return `model-${this.#key(base, towers)}.json`;
  }

  #objectName(url: string, begin: number, end: number): string {
    return `object-${this.#key(url, begin, end)}.json`;
  }

  async #isWhole({ begin, end, sha256 }: CachedObject): Promise<boolean> {
    return (await this.#store.size(`blob-${sha256}`)) === end - begin;
  }

  async #readManifest(name: string): Promise<Manifest | undefined> {
    const manifest = await this.#json<Manifest>(name);
    const objects: unknown = manifest?.objects;
    return Array.isArray(objects) && objects.every((object) => typeof object?.sha256 === "string")
      ? manifest
      : undefined;
  }

  /** What was loaded from an address before, where all of it is still there. */
  async manifest(base: string, towers: Towers): Promise<Manifest | undefined> {
    const manifest = await this.#readManifest(this.#manifestName(base, towers));
    const whole = await Promise.all(manifest?.objects.map((object) => this.#isWhole(object)) ?? []);
    return whole.every(Boolean) ? manifest : undefined;
  }

  /** Keeps what a model was loaded from, in the place of what was kept of it; `alone` drops the address's other towers. */
  async commit(manifest: Manifest, alone: boolean): Promise<void> {
    const own = this.#manifestName(manifest.base, manifest.towers);
    await this.#store.writeText(own, JSON.stringify(manifest));
    for (const { name, manifest: other } of alone ? await this.#manifests() : []) {
      if (name !== own && other.base === manifest.base) await this.#store.remove(name);
    }
    await this.#sweep();
  }

  /** Bytes that are kept as the server has them now; nothing where they are not, or not all. */
  async find({ url, etag }: RemoteFile, begin: number, end: number): Promise<CachedObject | undefined> {
    const object = await this.#json<CachedObject>(this.#objectName(url, begin, end));
    return object && etag !== undefined && object.etag === etag && (await this.#isWhole(object)) ? object : undefined;
  }

  /** Bytes of an object, `begin` and `end` counted in its file. */
  stream(object: CachedObject, begin: number, end: number): AsyncIterable<Uint8Array> {
    return this.#store.stream(`blob-${object.sha256}`, begin - object.begin, end - object.begin);
  }

  /**
   * Fetches bytes of an address into the cache, going on where an earlier fetch of the same file was broken off.
   *
   * @throws CacheClosed, and ClipError `source-unreadable`, `checksum-mismatch`
   */
  async fetch(
    source: HttpSource,
    file: RemoteFile,
    [begin, end]: [number, number],
    context: ReadContext,
  ): Promise<CachedObject> {
    const part = `part-${this.#key(file.url, begin, end)}`;
    return this.#store.exclusively(part, async () => {
      // another tab may have done it in the meantime
      const found = await this.find(file, begin, end);
      if (found) return found;
      try {
        return await this.#fetch(source, file, [begin, end], part, context);
      } catch (error) {
        const reason = closed(error);
        if (!reason) throw error;
        await this.#dropPart(part).catch(() => undefined);
        throw reason;
      }
    });
  }

  async #dropPart(part: string): Promise<void> {
    await this.#store.remove(part);
    await this.#store.remove(`${part}.json`);
  }

  async #fetch(
    source: HttpSource,
    file: RemoteFile,
    [begin, end]: [number, number],
    part: string,
    context: ReadContext,
  ): Promise<CachedObject> {
    const notes = await this.#json<PartNotes>(`${part}.json`);
    const sameFile = notes && notes.size === file.size && notes.etag !== undefined && notes.etag === file.etag;
    if (!sameFile) {
      await this.#dropPart(part);
      const fresh: PartNotes = { url: file.url, etag: file.etag, size: file.size };
      await this.#store.writeText(`${part}.json`, JSON.stringify(fresh));
    }
    const sum = new this.#wasm.Sha256();
    let there = (await this.#store.size(part)) ?? 0;
    if (there > end - begin) {
      await this.#store.remove(part);
      there = 0;
    }
    for await (const piece of this.#store.stream(part, 0, there)) sum.update(piece);
    const appender = await this.#store.append(part);
    try {
      for await (const piece of source.stream(file, begin + there, end)) {
        await appender.write(piece);
        sum.update(piece);
        context.progress({ phase: "download", loadedBytes: appender.size, totalBytes: end - begin });
      }
    } finally {
      // what came stays, for the next attempt
      await appender.close();
    }
    // a disk without room has been seen to take the last bytes and not keep them
    if ((await this.#store.size(part)) !== end - begin)
      throw new DOMException("not all was kept", "QuotaExceededError");
    const sha256 = sum.finish();
    if (file.sha256 !== undefined && end - begin === file.size && sha256 !== file.sha256) {
      await this.#dropPart(part);
      throw new ClipError(
        "checksum-mismatch",
        `${file.url}: expected bytes with the SHA-256 ${file.sha256}, got ${sha256}; they were thrown away`,
      );
    }
    const object: CachedObject = { url: file.url, begin, end, sha256, etag: file.etag };
    // first, so that no other tab takes the blob for one that nothing is made of
    await this.#store.writeText(this.#objectName(file.url, begin, end), JSON.stringify(object));
    await this.#store.rename(part, `blob-${sha256}`);
    await this.#store.remove(`${part}.json`);
    return object;
  }

  /** Forgets objects; their blobs go where no model is made of them. */
  async forget(objects: readonly CachedObject[]): Promise<void> {
    for (const { url, begin, end } of objects) await this.#store.remove(this.#objectName(url, begin, end));
    await this.#sweep();
  }

  /** Forgets a model that is kept if its bytes are no longer those that were kept. */
  async verify({ base, towers, objects }: Manifest): Promise<void> {
    for (const object of objects) {
      const sum = new this.#wasm.Sha256();
      for await (const piece of this.stream(object, object.begin, object.end)) sum.update(piece);
      if (sum.finish() === object.sha256) continue;
      await this.#store.remove(this.#manifestName(base, towers));
      return this.forget(objects);
    }
  }

  /** Removes what no model and no object is made of, but for what is on its way. */
  async #sweep(): Promise<void> {
    const names = await this.#store.list();
    const used = new Set<string>();
    const use = (object: CachedObject) => used.add(`blob-${object.sha256}`);
    for (const { manifest } of await this.#manifests()) manifest.objects.forEach(use);
    for (const name of names.filter((name) => name.startsWith("object-"))) {
      const object = await this.#json<CachedObject>(name);
      if (object) use(object);
    }
    for (const name of names) {
      if (name.startsWith("blob-") && !used.has(name)) await this.#store.remove(name);
    }
  }

  async #manifests(): Promise<{ name: string; manifest: Manifest }[]> {
    const names = (await this.#store.list()).filter((name) => /^model-.*\.json$/.test(name));
    const found = await Promise.all(names.map(async (name) => ({ name, manifest: await this.#readManifest(name) })));
    return found.flatMap(({ name, manifest }) => (manifest ? [{ name, manifest }] : []));
  }

  /** Models that are kept, the latest first. */
  async list(): Promise<CachedModel[]> {
    const manifests = await this.#manifests();
    const bytesOf = (objects: CachedObject[]) => objects.reduce((sum, { begin, end }) => sum + end - begin, 0);
    return manifests
      .map(({ manifest: { base, towers, objects, time } }) => ({ url: base, towers, bytes: bytesOf(objects), time }))
      .sort((a, b) => b.time - a.time);
  }

  /** Forgets the models of an address, and what of it is on its way, or everything; returns how many models there were. */
  async delete(address?: string): Promise<number> {
    const base = address === undefined ? undefined : withoutCredentials(address);
    const [folder = "", query] = base?.split("?") ?? [];
    const gone = (await this.#manifests()).filter(({ manifest }) => base === undefined || manifest.base === base);
    for (const { name } of gone) await this.#store.remove(name);
    for (const name of await this.#store.list()) {
      if (!/^(object|part)-.*\.json$/.test(name)) continue;
      const url = (await this.#json<{ url?: string }>(name))?.url;
      // a folder's name may be the beginning of another's
      const [path, own] = url?.split("?") ?? [];
      const isOfBase = own === query && (path === folder || (folder.endsWith("/") && path?.startsWith(folder)));
      if (base !== undefined && !isOfBase) continue;
      await this.#store.remove(name);
      if (name.startsWith("part-")) await this.#store.remove(name.slice(0, -".json".length));
    }
    await this.#sweep();
    return gone.length;
  }
}
