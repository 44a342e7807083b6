/** Downloads into the cache, resumed if an earlier download of the same file broke off. */

import { ClipError } from "../../protocol/error.js";
import type { EncodingWasm } from "../../runtime/wasm.js";
import { type Folder, isDiskFull } from "../../storage/folder.js";
import type { HttpSource, RemoteFile } from "../sources/http.js";
import type { ReadContext } from "../sources/source.js";
import type { CachedObject, CacheRecords, PartialDownload } from "./records.js";

/** Nothing can be written to the cache: the model is loaded, but not cached. */
export class CacheUnwritable extends Error {}

/** Returns why the cache cannot be written; `undefined` if the error has another cause. */
export function toCacheUnwritable(error: unknown): CacheUnwritable | undefined {
  if (error instanceof ClipError || (error as Error).name === "AbortError") return undefined;
  const reason = isDiskFull(error) ? "the disk, or this page's share of it, is full" : (error as Error).message;
  return new CacheUnwritable(reason, { cause: error });
}

/** Downloads objects. */
export class CacheDownloads {
  readonly #folder: Folder;
  readonly #records: CacheRecords;
  readonly #wasm: EncodingWasm;

  constructor(folder: Folder, records: CacheRecords, wasm: EncodingWasm) {
    this.#folder = folder;
    this.#records = records;
    this.#wasm = wasm;
  }

  /** Returns the object of bytes `[begin, end)` if all are cached and the server still has them so. */
  async #find({ url, etag }: RemoteFile, begin: number, end: number): Promise<CachedObject | undefined> {
    const object = await this.#records.read<CachedObject>(this.#records.objectName(url, begin, end));
    const isCurrent = object && etag !== undefined && object.etag === etag;
    return isCurrent && (await this.#records.isWhole(object)) ? object : undefined;
  }

  /**
   * Returns the object of bytes `[begin, end)`, downloading it if needed.
   *
   * @throws CacheUnwritable, and ClipError `source-unreadable` or `checksum-mismatch`
   */
  async fetch(
    source: HttpSource,
    file: RemoteFile,
    [begin, end]: [number, number],
    context: ReadContext,
  ): Promise<CachedObject> {
    const part = this.#records.partName(file.url, begin, end);
    return this.#folder.exclusively(part, async () => {
      // another tab may have downloaded it while this one waited
      const found = await this.#find(file, begin, end);
      if (found) return found;
      try {
        return await this.#download(source, file, [begin, end], part, context);
      } catch (error) {
        const unwritable = toCacheUnwritable(error);
        if (!unwritable) throw error;
        await this.#removePart(part).catch(() => undefined);
        throw unwritable;
      }
    });
  }

  async #removePart(part: string): Promise<void> {
    await this.#folder.remove(part);
    await this.#folder.remove(`${part}.json`);
  }

  async #download(
    source: HttpSource,
    file: RemoteFile,
    [begin, end]: [number, number],
    part: string,
    context: ReadContext,
  ): Promise<CachedObject> {
    await this.#startPart(file, part);
    const sum = new this.#wasm.Sha256();
    let downloaded = (await this.#folder.size(part)) ?? 0;
    if (downloaded > end - begin) {
      await this.#folder.remove(part);
      downloaded = 0;
    }
    for await (const piece of this.#folder.stream(part, 0, downloaded)) sum.update(piece);
    const appender = await this.#folder.append(part);
    try {
      for await (const piece of source.stream(file, begin + downloaded, end)) {
        await appender.write(piece);
        sum.update(piece);
        context.progress({ phase: "download", loadedBytes: appender.size, totalBytes: end - begin });
      }
    } finally {
      // keeps what has arrived, for the next attempt
      await appender.close();
    }
    // a full disk may accept the last bytes and lose them
    if ((await this.#folder.size(part)) !== end - begin)
      throw new DOMException("not all bytes were written", "QuotaExceededError");
    const sha256 = sum.finish();
    if (file.sha256 !== undefined && end - begin === file.size && sha256 !== file.sha256) {
      await this.#removePart(part);
      throw new ClipError(
        "checksum-mismatch",
        `${file.url}: expected the SHA-256 ${file.sha256}, got ${sha256}; the download was deleted: try again`,
      );
    }
    const object: CachedObject = { url: file.url, begin, end, sha256, etag: file.etag };
    // the record first: another tab removes blobs without one
    await this.#folder.writeText(this.#records.objectName(file.url, begin, end), JSON.stringify(object));
    await this.#folder.rename(part, `blob-${sha256}`);
    await this.#folder.remove(`${part}.json`);
    return object;
  }

  /** Removes an unfinished download of another state of the file, and records this one. */
  async #startPart(file: RemoteFile, part: string): Promise<void> {
    const earlier = await this.#records.read<PartialDownload>(`${part}.json`);
    const isSame = earlier && earlier.size === file.size && earlier.etag !== undefined && earlier.etag === file.etag;
    if (isSame) return;
    await this.#removePart(part);
    const state: PartialDownload = { url: file.url, etag: file.etag, size: file.size };
    await this.#folder.writeText(`${part}.json`, JSON.stringify(state));
  }
}
