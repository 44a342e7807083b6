/** A folder on a server, read through the cache. */

import type { Towers } from "../../protocol/config.js";
import { type ClipError, isClipError } from "../../protocol/error.js";
import type { HttpSource } from "../sources/http.js";
import type { RemoteFile } from "../sources/remote-file.js";
import type { ReadContext, Source, SourceFile } from "../sources/source.js";
import { CacheUnwritable, toCacheUnwritable } from "./download.js";
import type { ModelCache } from "./model-cache.js";
import type { CachedObject, Manifest } from "./records.js";

/**
 * A cached model is read from the cache, without the server. Any other is downloaded into the cache, and replaces an older
 * version when it has been loaded.
 */
export class CachedSource implements Source {
  readonly label: string;
  readonly only: string | undefined;
  readonly #source: HttpSource;
  readonly #cache: ModelCache;
  readonly #context: ReadContext;
  readonly #refresh: boolean;
  /** The cached model, if that is read. */
  readonly #cached: Manifest | undefined;
  /** The model that is downloaded. */
  readonly #fresh: Manifest;
  /** Why the model is not cached; `undefined` if it is. */
  notCached: string | undefined;

  private constructor(
    source: HttpSource,
    cache: ModelCache,
    context: ReadContext,
    towers: Towers,
    refresh: boolean,
    cached: Manifest | undefined,
  ) {
    this.label = source.label;
    this.only = source.only;
    this.#source = source;
    this.#cache = cache;
    this.#context = context;
    this.#refresh = refresh;
    this.#cached = cached;
    this.#fresh = { base: source.label, towers, texts: {}, sizes: {}, objects: [], time: 0 };
  }

  /** Opens a server's folder; `refresh` asks the server for changes even if the model is cached. */
  static async open(
    source: HttpSource,
    cache: ModelCache,
    context: ReadContext,
    { towers, refresh }: { towers: Towers; refresh: boolean },
  ): Promise<CachedSource> {
    const cached = refresh ? undefined : await cache.manifest(source.label, towers);
    return new CachedSource(source, cache, context, towers, refresh, cached);
  }

  get refusal(): ClipError | undefined {
    return this.#source.refusal;
  }

  async list(): Promise<undefined> {
    return undefined;
  }

  async tree(): Promise<undefined> {
    return undefined;
  }

  async text(name: string): Promise<string | undefined> {
    const cached = this.#cached?.texts[name];
    if (cached !== undefined) return cached ?? undefined;
    try {
      const text = await this.#source.text(name);
      this.#fresh.texts[name] = text ?? null;
      return text;
    } catch (error) {
      // the cached model was loaded without that file, by an older version: offline it still can be
      if (this.#cached && isClipError(error) && error.code === "source-unreadable") return undefined;
      throw error;
    }
  }

  async open(name: string): Promise<SourceFile | undefined> {
    return this.#cached ? this.#openCached(this.#cached, name) : this.#openRemote(name);
  }

  #openCached({ sizes, objects }: Manifest, name: string): SourceFile | undefined {
    const size = sizes[name];
    const url = this.#source.url(name);
    if (size === undefined) return undefined;
    const stream = (begin: number, end: number) => {
      const object = objects.find((object) => object.url === url && object.begin <= begin && end <= object.end);
      if (object) return this.#cache.stream(object, begin, end);
      // bytes that an older version did not need: of the same version of the file, if that can be told
      const { etag, modified } = objects.find((object) => object.url === url) ?? { etag: undefined };
      return this.#source.stream({ url, size, etag, modified, sha256: undefined }, begin, end);
    };
    return { name, size, stream };
  }

  async #openRemote(name: string): Promise<SourceFile | undefined> {
    const remote = await this.#source.stat(name);
    if (!remote) return undefined;
    const sha256 = remote.sha256 ?? (await this.#source.sum(name));
    // browsers may hide another origin's ETag; the sum changes with the file, too
    const file: RemoteFile = { ...remote, sha256, etag: remote.etag ?? sha256 };
    const { size } = file;
    this.#fresh.sizes[name] = size;
    if (this.#fresh.towers === "both") await this.#object(file, 0, size);
    return { name, size, stream: (begin, end) => this.#streamRemote(file, begin, end) };
  }

  /** Returns the object that holds bytes of a file, downloading it if needed; `undefined` if the cache cannot be written. */
  async #object(file: RemoteFile, begin: number, end: number): Promise<CachedObject | undefined> {
    const { objects } = this.#fresh;
    const found = objects.find((object) => object.url === file.url && object.begin <= begin && end <= object.end);
    if (found || this.notCached !== undefined) return found;
    try {
      const object = await this.#cache.fetch(this.#source, file, [begin, end], this.#context);
      objects.push(object);
      return object;
    } catch (error) {
      if (!(error instanceof CacheUnwritable)) throw error;
      this.notCached = error.message;
      return undefined;
    }
  }

  async *#streamRemote(file: RemoteFile, begin: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    const object = await this.#object(file, begin, end);
    yield* object ? this.#cache.stream(object, begin, end) : this.#source.stream(file, begin, end);
  }

  /** Keeps the model in the cache. To be called when it has been loaded. */
  async commit(): Promise<void> {
    try {
      if (this.#cached) {
        // files that were read now, but not when the model was cached
        const { texts } = this.#fresh;
        const merged = { ...this.#cached, texts: { ...this.#cached.texts, ...texts } };
        if (Object.keys(texts).length > 0) await this.#cache.commit(merged, false);
        return;
      }
      if (this.notCached === undefined) await this.#cache.commit({ ...this.#fresh, time: Date.now() }, this.#refresh);
      // a part of a model is useless, and takes space on a full disk
      else await this.#cache.forget(this.#fresh.objects);
    } catch (error) {
      this.notCached ??= toCacheUnwritable(error)?.message;
      if (this.notCached === undefined) throw error;
    }
  }

  /** Removes the files from the cache. To be called when they turned out to be no model. */
  async discard(): Promise<void> {
    // a cached model could be loaded before: it is removed only if its bytes have changed
    if (this.#cached) await this.#cache.verify(this.#cached);
    else await this.#cache.forget(this.#fresh.objects);
  }
}
