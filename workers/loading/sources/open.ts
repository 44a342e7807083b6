/** Opens the source that a request names, through the cache if there is one. */

import { ClipError, type ClipErrorCode, toClipError } from "../../protocol/error.js";
import { excerpt } from "../../protocol/excerpt.js";
import type { LoadRequest, WireSource } from "../../protocol/load.js";
import type { EncodingWasm } from "../../runtime/wasm.js";
import { CachedSource } from "../cache/cached-source.js";
import { ModelCache } from "../cache/model-cache.js";
import type { LoadingPlatform } from "../platform.js";
import { FileListSource } from "./file-list.js";
import { HttpSource } from "./http.js";
import { FileChanged } from "./remote-file.js";
import type { ReadContext, Source } from "./source.js";

/** Errors that say that the files are no model, with whatever options they are loaded. */
const NO_MODEL: ReadonlySet<ClipErrorCode> = new Set<ClipErrorCode>([
  "invalid-checkpoint",
  "invalid-config",
  "invalid-tokenizer",
  "missing-tensor",
  "extra-tensor",
  "shape-mismatch",
  "missing-tower",
  "checksum-mismatch",
]);

/** How often a load begins again because a file changed while it was read. */
const RESTARTS = 4;

type ServerSource = Extract<WireSource, { kind: "url" }>;

/** Opens the cache; `undefined` if the platform has no folder for it. */
export async function openCache(wasm: EncodingWasm, platform: LoadingPlatform): Promise<ModelCache | undefined> {
  const folder = await platform.cacheFolder();
  return folder && new ModelCache(folder, wasm);
}

/** Runs `use` on the source of a request; returns its result and warnings for the user. */
export async function withSource<T>(
  request: LoadRequest,
  wasm: EncodingWasm,
  platform: LoadingPlatform,
  context: ReadContext,
  use: (source: Source) => Promise<T>,
): Promise<{ result: T; warnings: string[] }> {
  const { source } = request;
  const uncached = async (opened: Source) => ({ result: await use(opened), warnings: [] });
  if (source.kind === "files") return uncached(new FileListSource(source.files));
  if (source.kind === "path") {
    if (platform.disk) return uncached(await platform.disk.source(source.path));
    throw new ClipError(
      "invalid-source",
      `cannot read the path ${excerpt(source.path)} in a browser: give an address, a Hub id or files`,
    );
  }
  // as in transformers, a folder goes before a repository of the same name
  const folder = source.hub === undefined ? undefined : await platform.disk?.folder(source.hub);
  if (folder) return uncached(folder);
  try {
    return await withServer(source, request, wasm, platform, context, use);
  } catch (error) {
    const { code, message } = toClipError(error);
    const hint = hintFor(source, message, platform);
    if (hint === undefined || (code !== "source-unreadable" && code !== "invalid-source")) throw error;
    throw new ClipError(code, `${message} (${hint})`, { cause: error });
  }
}

/** Explains what may not be as the caller meant it: how a name that is no full URL was resolved, or headers that were kept back. */
function hintFor(
  { hub, relative, headersOf }: ServerSource,
  message: string,
  { disk }: LoadingPlatform,
): string | undefined {
  if (headersOf !== undefined && /HTTP 40[13]/.test(message))
    return `the headers were not sent here, but to ${headersOf} alone, where the model is`;
  if (hub !== undefined) {
    const name = disk ? `there is no folder ${excerpt(hub)} here, so it` : excerpt(hub);
    return `${name} was taken for a Hub id, owner/model: did you mean ./${excerpt(hub)}?`;
  }
  const forms = "a Hub id has the form owner/model";
  return relative === undefined ? undefined : `${relative} was taken for an address relative to the page: ${forms}`;
}

/** Reads from a server; once more from the beginning if a file changed meanwhile, so that two versions are never mixed. */
async function withServer<T>(
  source: ServerSource,
  request: LoadRequest,
  wasm: EncodingWasm,
  platform: LoadingPlatform,
  context: ReadContext,
  use: (source: Source) => Promise<T>,
): Promise<{ result: T; warnings: string[] }> {
  for (let restarts = 0; ; restarts++) {
    // the browser's own cache may hold the old version
    const cache = restarts > 0 ? "reload" : request.cache === "refresh" ? "no-cache" : "default";
    const remote = new HttpSource(source, context, cache);
    try {
      return await throughCache(remote, request, wasm, platform, context, use);
    } catch (error) {
      if (!(error instanceof FileChanged) || restarts === RESTARTS) throw error;
    }
  }
}

async function throughCache<T>(
  remote: HttpSource,
  { towers, cache: wanted }: LoadRequest,
  wasm: EncodingWasm,
  platform: LoadingPlatform,
  context: ReadContext,
  use: (source: Source) => Promise<T>,
): Promise<{ result: T; warnings: string[] }> {
  if (wanted === false) return { result: await use(remote), warnings: [] };
  const cache = await openCache(wasm, platform);
  if (!cache) return { result: await use(remote), warnings: ["not cached: this platform has no place for a cache"] };
  const cached = await CachedSource.open(remote, cache, context, { towers, refresh: wanted === "refresh" });
  try {
    const result = await use(cached);
    await cached.commit();
    const { notCached } = cached;
    return { result, warnings: notCached === undefined ? [] : [`not cached: ${notCached}`] };
  } catch (error) {
    // an interrupted download is resumed the next time, and other options or another device may load the same files
    if (NO_MODEL.has(toClipError(error).code)) await cached.discard();
    throw error;
  }
}
