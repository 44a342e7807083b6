/** A server's folder, read through the cache. */

import type { Towers } from "../../protocol/config.js";
import { isClipError } from "../../protocol/error.js";
import type { HttpSource, RemoteFile } from "../sources/http.js";
import type { ReadContext, Source, SourceFile } from "../sources/source.js";
import { CacheClosed, type CachedObject, closed, type Manifest, type ModelCache } from "./model-cache.js";

/**
 * A model that is kept is read as it was kept, without the server. Any other is fetched into the cache, beside what may
 * be kept of an older one, and takes its place when it has been loaded.
 */
export class CachedSource implements Source {
  readonly label: string;
  readonly only: string | undefined;
  readonly #source: HttpSource;
  readonly #cache: ModelCache;
  readonly #context: ReadContext;
  readonly #refresh: boolean;
  /** What is kept, where that is what is read. */
  readonly #kept: Manifest | undefined;
  readonly #fresh: Manifest;
  /** Why the model is not kept, where it is not. */
  notKept: string | undefined;

  private constructor(
    source: HttpSource,
    cache: ModelCache,
    context: ReadContext,
    towers: Towers,
    refresh: boolean,
    kept: Manifest | undefined,
  ) {
    this.label = source.label;
    this.only = source.only;
    this.#source = source;
    this.#cache = cache;
    this.#context = context;
    this.#refresh = refresh;
    this.#kept = kept;
    this.#fresh = { base: source.label, towers, texts: {}, sizes: {}, objects: [], time: 0 };
  }

  /** `refresh` asks the server even for what is there. */
  static async open(
    source: HttpSource,
    cache: ModelCache,
    context: ReadContext,
    { towers, refresh }: { towers: Towers; refresh: boolean },
  ): Promise<CachedSource> {
    const kept = refresh ? undefined : await cache.manifest(source.label, towers);
    return new CachedSource(source, cache, context, towers, refresh, kept);
  }

  async list(): Promise<undefined> {
    return undefined;
  }

  async tree(): Promise<undefined> {
    return undefined;
  }

  async text(name: string): Promise<string | undefined> {
    const kept = this.#kept?.texts[name];
    if (kept !== undefined) return kept ?? undefined;
    try {
      const text = await this.#source.text(name);
      this.#fresh.texts[name] = text ?? null;
      return text;
    } catch (error) {
      // an older version did without that file, and without the server this one does, too
      if (this.#kept && isClipError(error) && error.code === "source-unreadable") return undefined;
      throw error;
    }
  }

  async open(name: string): Promise<SourceFile | undefined> {
    return this.#kept ? this.#openKept(this.#kept, name) : this.#openRemote(name);
  }

  #openKept({ sizes, objects }: Manifest, name: string): SourceFile | undefined {
    const size = sizes[name];
    const url = this.#source.url(name);
    if (size === undefined) return undefined;
    const stream = (begin: number, end: number) => {
      const object = objects.find((one) => one.url === url && one.begin <= begin && end <= one.end);
      if (object) return this.#cache.stream(object, begin, end);
      return this.#source.stream({ url, size, etag: undefined, sha256: undefined }, begin, end);
    };
    return { name, size, stream };
  }

  async #openRemote(name: string): Promise<SourceFile | undefined> {
    const remote = await this.#source.stat(name);
    if (!remote) return undefined;
    const sha256 = remote.sha256 ?? (await this.#source.sum(name));
    // a page may not be shown another origin's ETag; the sum tells two states of a file apart as well
    const file: RemoteFile = { ...remote, sha256, etag: remote.etag ?? sha256 };
    const { size } = file;
    this.#fresh.sizes[name] = size;
    if (this.#fresh.towers === "both") await this.#object(file, 0, size);
    return { name, size, stream: (begin, end) => this.#streamRemote(file, begin, end) };
  }

  /** The object that holds bytes of a file, fetched where it is not there; nothing where the cache takes none. */
  async #object(file: RemoteFile, begin: number, end: number): Promise<CachedObject | undefined> {
    const { objects } = this.#fresh;
    const found = objects.find((one) => one.url === file.url && one.begin <= begin && end <= one.end);
    if (found || this.notKept !== undefined) return found;
    try {
      const object = await this.#cache.fetch(this.#source, file, [begin, end], this.#context);
      objects.push(object);
      return object;
    } catch (error) {
      if (!(error instanceof CacheClosed)) throw error;
      this.notKept = error.message;
      return undefined;
    }
  }

  async *#streamRemote(file: RemoteFile, begin: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    const object = await this.#object(file, begin, end);
    yield* object ? this.#cache.stream(object, begin, end) : this.#source.stream(file, begin, end);
  }

  /** To be called when the model is loaded. */
  async commit(): Promise<void> {
    try {
      if (this.#kept) {
        // files that an older version did not ask for
        const { texts } = this.#fresh;
        const kept = { ...this.#kept, texts: { ...this.#kept.texts, ...texts } };
        if (Object.keys(texts).length > 0) await this.#cache.commit(kept, false);
        return;
      }
      if (this.notKept === undefined) await this.#cache.commit({ ...this.#fresh, time: Date.now() }, this.#refresh);
      // a part of a model is of no use, and in the way where room is short
      else await this.#cache.forget(this.#fresh.objects);
    } catch (error) {
      this.notKept ??= closed(error)?.message;
      if (this.notKept === undefined) throw error;
    }
  }

  /** To be called when the files turned out to be no model: they are not worth keeping. */
  async discard(): Promise<void> {
    // what is kept was a model once
    if (this.#kept) await this.#cache.verify(this.#kept);
    else await this.#cache.forget(this.#fresh.objects);
  }
}
