/** Opens the place that a request names, through the cache where there is one. */

import { ClipError, type ClipErrorCode, toClipError } from "../../protocol/error.js";
import { excerpt } from "../../protocol/excerpt.js";
import type { LoadRequest, WireSource } from "../../protocol/load.js";
import type { EncodingWasm } from "../../runtime/wasm.js";
import { CachedSource } from "../cache/cached-source.js";
import { ModelCache } from "../cache/model-cache.js";
import type { LoadingPlatform } from "../platform.js";
import { FileListSource } from "./file-list.js";
import { HttpSource } from "./http.js";
import type { ReadContext, Source } from "./source.js";

/** What says that the files are no model that can be loaded. */
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

/** What is kept on this platform; nothing where it keeps nothing. */
export async function openCache(wasm: EncodingWasm, platform: LoadingPlatform): Promise<ModelCache | undefined> {
  const store = await platform.cacheFolder();
  return store && new ModelCache(store, wasm);
}

/** Runs `use` on a request's source; says what its user should know. */
export async function withSource<T>(
  request: LoadRequest,
  wasm: EncodingWasm,
  platform: LoadingPlatform,
  context: ReadContext,
  use: (source: Source) => Promise<T>,
): Promise<{ result: T; warnings: string[] }> {
  const { source } = request;
  const plain = async (opened: Source) => ({ result: await use(opened), warnings: [] });
  if (source.kind === "files") return plain(new FileListSource(source.files));
  if (source.kind === "path") {
    if (platform.disk) return plain(await platform.disk.source(source.path));
    throw new ClipError(
      "invalid-source",
      `expected an address, a Hub id or files, got the path ${excerpt(source.path)}`,
    );
  }
  // as in transformers, a folder of that name goes before a repository
  const folder = source.hub === undefined ? undefined : await platform.disk?.folder(source.hub);
  if (folder) return plain(folder);
  try {
    return await withServer(source, request, wasm, platform, context, use);
  } catch (error) {
    const { code, message } = toClipError(error);
    const hint = takenFor(source, platform);
    if (hint === undefined || (code !== "source-unreadable" && code !== "invalid-source")) throw error;
    throw new ClipError(code, `${message} (${hint})`, { cause: error });
  }
}

/** What a name was taken for that is no whole address, for who meant something else. */
function takenFor({ hub, relative }: ServerSource, { disk }: LoadingPlatform): string | undefined {
  if (hub !== undefined) {
    const none = disk ? `there is no folder ${excerpt(hub)} here, so it` : excerpt(hub);
    return `${none} was taken for a Hub id, owner/model: did you mean ./${excerpt(hub)}?`;
  }
  const forms = "a Hub id has the form owner/model";
  return relative === undefined ? undefined : `${relative} was taken for an address relative to the page: ${forms}`;
}

type ServerSource = Extract<WireSource, { kind: "url" }>;

async function withServer<T>(
  source: ServerSource,
  { towers, cache: wanted }: LoadRequest,
  wasm: EncodingWasm,
  platform: LoadingPlatform,
  context: ReadContext,
  use: (source: Source) => Promise<T>,
): Promise<{ result: T; warnings: string[] }> {
  const plain = async (opened: Source, warnings: string[] = []) => ({ result: await use(opened), warnings });
  const remote = new HttpSource(source, context);
  if (wanted === false) return plain(remote);
  const cache = await openCache(wasm, platform);
  if (!cache) return plain(remote, ["not kept for the next time: there is no place to keep it here"]);
  const cached = await CachedSource.open(remote, cache, context, { towers, refresh: wanted === "refresh" });
  try {
    const result = await use(cached);
    await cached.commit();
    const { notKept } = cached;
    return { result, warnings: notKept === undefined ? [] : [`not kept for the next time: ${notKept}`] };
  } catch (error) {
    // what was cut short is taken up again, and what an option or the device did not allow may be loaded otherwise
    if (NO_MODEL.has(toClipError(error).code)) await cached.discard();
    throw error;
  }
}
