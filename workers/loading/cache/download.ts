/** Downloads into the cache, resumed if an earlier download of the same file broke off. */

import { ClipError } from "../../protocol/error.js";
import type { EncodingWasm } from "../../runtime/wasm.js";
import { type Folder, isDiskFull } from "../../storage/folder.js";
import type { HttpSource } from "../sources/http.js";
import { differs, type RemoteFile, type Version } from "../sources/remote-file.js";
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

/** Whether a record is of the version that the server has: that needs an ETag, for `Last-Modified` counts in seconds. */
const isCurrent = (record: Version, file: RemoteFile) =>
  file.etag !== undefined && record.etag === file.etag && !differs(record, file);

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
  async #find(file: RemoteFile, begin: number, end: number): Promise<CachedObject | undefined> {
    const object = await this.#records.read<CachedObject>(this.#records.objectName(file.url, begin, end));
    return object && isCurrent(object, file) && (await this.#records.isWhole(object)) ? object : undefined;
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
    const { url, etag, modified } = file;
    const object: CachedObject = { url, begin, end, sha256, etag, modified };
    // the record first: another tab removes blobs without one
    await this.#folder.writeText(this.#records.objectName(file.url, begin, end), JSON.stringify(object));
    await this.#folder.rename(part, `blob-${sha256}`);
    await this.#folder.remove(`${part}.json`);
    return object;
  }

  /** Removes an unfinished download of another version of the file, and records this one. */
  async #startPart(file: RemoteFile, part: string): Promise<void> {
    const earlier = await this.#records.read<PartialDownload>(`${part}.json`);
    const { url, etag, modified, size } = file;
    if (earlier && earlier.size === size && isCurrent(earlier, file)) return;
    await this.#removePart(part);
    const state: PartialDownload = { url, etag, modified, size };
    await this.#folder.writeText(`${part}.json`, JSON.stringify(state));
  }
}
