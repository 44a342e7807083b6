/**
 * Models that were loaded from a server, kept for the next time and for when there is no server.
 *
 * - `blob-<sha256>`: bytes of a file or of a part of one, known by their sum;
 * - `part-<key>`: the same on their way, taken up again after an interruption;
 * - `object-<key>.json`: which blob holds which bytes of which address;
 * - `model-<key>.json`: written last, when a model has been loaded: its small files, and the objects it is made of.
 */

import { ClipError } from "../error.js";
import type { CachedModel, Towers } from "../protocol.js";
import type { HttpSource, RemoteFile } from "../sources/http.js";
import type { ReadContext, Source, SourceFile } from "../sources/source.js";
import type { Wasm } from "../wasm.js";
import { isFull, type Store } from "./store.js";

interface CachedObject {
  url: string;
  begin: number;
  end: number;
  sha256: string;
}

interface PartNotes {
  etag: string | undefined;
  size: number;
}

interface Manifest {
  base: string;
  towers: Towers;
  texts: Record<string, string | null>;
  sizes: Record<string, number>;
  objects: string[];
  bytes: number;
  /** Milliseconds since 1970. */
  time: number;
}

/** The cache takes nothing: the model can still be loaded, only not be kept. */
class CacheClosed extends Error {}

/** What a failure of the store means; others are handed on. */
function closed(error: unknown): CacheClosed | undefined {
  if (error instanceof ClipError || (error as Error).name === "AbortError") return undefined;
  const reason = isFull(error) ? "the disk, or this page's share of it, is full" : (error as Error).message;
  return new CacheClosed(reason, { cause: error });
}

/** All that is kept. */
export class ModelCache {
  readonly #store: Store;
  readonly #wasm: Wasm;

  constructor(store: Store, wasm: Wasm) {
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

  /** What was loaded from an address before. */
  async manifest(base: string, towers: Towers): Promise<Manifest | undefined> {
    return this.#json(this.#manifestName(base, towers));
  }

  /** Keeps what a model was loaded from. */
  async commit(manifest: Manifest): Promise<void> {
    await this.#store.writeText(this.#manifestName(manifest.base, manifest.towers), JSON.stringify(manifest));
  }

  /** Name of the object that holds bytes of an address. */
  objectKey(url: string, begin: number, end: number): string {
    return this.#key(url, begin, end);
  }

  /** Bytes that are kept; nothing where they are not, or not all. */
  async find(url: string, begin: number, end: number): Promise<CachedObject | undefined> {
    const object = await this.#json<CachedObject>(`object-${this.objectKey(url, begin, end)}.json`);
    const size = object && (await this.#store.size(`blob-${object.sha256}`));
    return size === end - begin ? object : undefined;
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
    const key = this.objectKey(file.url, begin, end);
    return this.#store.exclusively(`part-${key}`, async () => {
      // another tab may have done it in the meantime
      const found = await this.find(file.url, begin, end);
      if (found) return found;
      try {
        return await this.#fetch(source, file, [begin, end], key, context);
      } catch (error) {
        const reason = closed(error);
        if (!reason) throw error;
        await this.#dropPart(key).catch(() => undefined);
        throw reason;
      }
    });
  }

  async #dropPart(key: string): Promise<void> {
    await this.#store.remove(`part-${key}`);
    await this.#store.remove(`part-${key}.json`);
  }

  async #fetch(
    source: HttpSource,
    file: RemoteFile,
    [begin, end]: [number, number],
    key: string,
    context: ReadContext,
  ): Promise<CachedObject> {
    const part = `part-${key}`;
    const notes = await this.#json<PartNotes>(`${part}.json`);
    const sameFile = notes && notes.size === file.size && notes.etag !== undefined && notes.etag === file.etag;
    if (!sameFile) {
      await this.#dropPart(key);
      const fresh: PartNotes = { etag: file.etag, size: file.size };
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
      await this.#dropPart(key);
      throw new ClipError(
        "checksum-mismatch",
        `${file.url}: expected bytes with the SHA-256 ${file.sha256}, got ${sha256}; they were thrown away`,
      );
    }
    await this.#store.rename(part, `blob-${sha256}`);
    const object: CachedObject = { url: file.url, begin, end, sha256 };
    await this.#store.writeText(`object-${key}.json`, JSON.stringify(object));
    await this.#store.remove(`${part}.json`);
    return object;
  }

  /** Forgets objects, and the blobs that no other object is made of. */
  async forget(keys: readonly string[]): Promise<void> {
    for (const key of keys) await this.#store.remove(`object-${key}.json`);
    await this.#sweep();
  }

  /** Removes what no model is made of, but for what is on its way. */
  async #sweep(): Promise<void> {
    const names = await this.#store.list();
    const used = new Set<string>();
    for (const name of names.filter((name) => name.startsWith("object-"))) {
      const object = await this.#json<CachedObject>(name);
      if (object) used.add(`blob-${object.sha256}`);
    }
    for (const name of names) {
      if (name.startsWith("blob-") && !used.has(name)) await this.#store.remove(name);
    }
  }

  async #manifests(): Promise<{ name: string; manifest: Manifest }[]> {
    const names = (await this.#store.list()).filter((name) => /^model-.*\.json$/.test(name));
    const found = await Promise.all(names.map(async (name) => ({ name, manifest: await this.#json<Manifest>(name) })));
    return found.flatMap(({ name, manifest }) => (manifest ? [{ name, manifest }] : []));
  }

  /** Models that are kept, the latest first. */
  async list(): Promise<CachedModel[]> {
    const manifests = await this.#manifests();
    return manifests
      .map(({ manifest: { base, towers, bytes, time } }) => ({ url: base, towers, bytes, time }))
      .sort((a, b) => b.time - a.time);
  }

  /** Forgets the models of an address, or all with everything that is on its way; returns how many there were. */
  async delete(base?: string): Promise<number> {
    const manifests = await this.#manifests();
    const gone = manifests.filter(({ manifest }) => base === undefined || manifest.base === base);
    const kept = new Set(manifests.filter((one) => !gone.includes(one)).flatMap(({ manifest }) => manifest.objects));
    for (const { name } of gone) await this.#store.remove(name);
    if (base === undefined) {
      for (const name of await this.#store.list()) if (!name.endsWith(".lock")) await this.#store.remove(name);
    } else {
      await this.forget(gone.flatMap(({ manifest }) => manifest.objects).filter((key) => !kept.has(key)));
    }
    return gone.length;
  }
}

/** A server's folder, read through the cache. */
export class CachedSource implements Source {
  readonly label: string;
  readonly only: string | undefined;
  readonly #source: HttpSource;
  readonly #cache: ModelCache;
  readonly #context: ReadContext;
  readonly #towers: Towers;
  readonly #known: Manifest | undefined;
  readonly #manifest: Manifest;
  /** Why the model is not kept, where it is not. */
  notKept: string | undefined;

  private constructor(
    source: HttpSource,
    cache: ModelCache,
    context: ReadContext,
    towers: Towers,
    known: Manifest | undefined,
  ) {
    this.label = source.label;
    this.only = source.only;
    this.#source = source;
    this.#cache = cache;
    this.#context = context;
    this.#towers = towers;
    this.#known = known;
    this.#manifest = { base: source.label, towers, texts: {}, sizes: {}, objects: [], bytes: 0, time: 0 };
  }

  /** `refresh` asks the server even for what is there. */
  static async open(
    source: HttpSource,
    cache: ModelCache,
    context: ReadContext,
    { towers, refresh }: { towers: Towers; refresh: boolean },
  ): Promise<CachedSource> {
    if (refresh) await cache.delete(source.label);
    return new CachedSource(source, cache, context, towers, await cache.manifest(source.label, towers));
  }

  async list(): Promise<undefined> {
    return undefined;
  }

  async text(name: string): Promise<string | undefined> {
    const known = this.#known?.texts[name];
    const text = known !== undefined ? (known ?? undefined) : await this.#source.text(name);
    this.#manifest.texts[name] = text ?? null;
    return text;
  }

  async open(name: string): Promise<SourceFile | undefined> {
    const url = this.#source.url(name);
    const known = this.#known?.sizes[name];
    // a model that is kept is made of the files that it was loaded from
    if (this.#known && known === undefined) return undefined;
    const remote = known === undefined ? await this.#source.stat(name) : undefined;
    const size = known ?? remote?.size;
    if (size === undefined) return undefined;
    this.#manifest.sizes[name] = size;
    const file: RemoteFile = remote ?? { url, size, etag: undefined, sha256: undefined };
    if (this.#towers === "both") await this.#object(name, file, 0, size);
    const range = this.#range.bind(this);
    return { name, size, stream: (begin, end) => range(name, file, begin, end) };
  }

  /** The object that holds bytes of a file, fetched where it is not there; nothing where the cache takes none. */
  async #object(name: string, file: RemoteFile, begin: number, end: number): Promise<CachedObject | undefined> {
    const key = this.#cache.objectKey(file.url, begin, end);
    let object = await this.#cache.find(file.url, begin, end);
    if (!object && this.notKept === undefined) {
      // a manifest without its blob: somebody cleaned up
      const remote = file.etag === undefined ? ((await this.#source.stat(name)) ?? file) : file;
      const sha256 = remote.sha256 ?? (await this.#source.sum(name));
      try {
        object = await this.#cache.fetch(this.#source, { ...remote, sha256 }, [begin, end], this.#context);
      } catch (error) {
        if (!(error instanceof CacheClosed)) throw error;
        this.notKept = error.message;
      }
    }
    if (object && !this.#manifest.objects.includes(key)) {
      this.#manifest.objects.push(key);
      this.#manifest.bytes += end - begin;
    }
    return object;
  }

  async *#range(
    name: string,
    file: RemoteFile,
    begin: number,
    end: number,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const [from, to] = this.#towers === "both" ? [0, file.size] : [begin, end];
    const object = await this.#object(name, file, from, to);
    yield* object ? this.#cache.stream(object, begin, end) : this.#source.stream(file, begin, end);
  }

  /** To be called when the model is loaded. */
  async commit(): Promise<void> {
    if (this.notKept !== undefined || this.#known) return;
    try {
      await this.#cache.commit({ ...this.#manifest, time: Date.now() });
    } catch (error) {
      this.notKept = closed(error)?.message;
      if (this.notKept === undefined) throw error;
    }
  }

  /** To be called when the files turned out to be no model: they are not worth keeping. */
  async discard(): Promise<void> {
    await this.#cache.delete(this.label);
    await this.#cache.forget(this.#manifest.objects);
  }
}
