/** Checkpoints in the forms that callers give them. */

import { fetchAddress, readsDisk, sendable } from "#place";
import { decodeEscapes, splitUser } from "../../workers/protocol/address.js";
import { type Bytes, isFile, isFolderHandle, isUrl } from "../../workers/protocol/bytes.js";
import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import type { AdapterFile, NamedFile, WireSource } from "../../workers/protocol/load.js";
import type { PlatformClass } from "../../workers/protocol/platform-class.js";
import { describeType, describeValue } from "../options/describe.js";
import { type CheckpointParts, fileData, isFileBytes, partFiles, textData } from "./checkpoint-parts.js";
import { absolute, pathOf } from "./location.js";

/**
 * Where a checkpoint is:
 * - a Hub id (`"laion/CLIP-ViT-B-32-laion2B-s34B-b79K"`);
 * - the address of a folder (`"https://…/"`, `"/models/clip/"`, a `URL`) or of one `.safetensors` file; its query is sent with
 *   every request; `data:` and `blob:` addresses of a file that clipwright wrote;
 * - in Node, the path of a folder or file (`"./model"`); an existing folder takes precedence over a Hub id of the same name;
 * - picked or dropped files, or a directory handle: of one model, which may be in a subfolder;
 * - the bytes of a safetensors file that clipwright wrote: it contains configuration and tokenizer;
 * - the files one by one: {@link CheckpointParts}.
 */
export type ClipSource =
  | string
  | PlatformClass<"URL">
  | Bytes
  | readonly PlatformClass<"File">[]
  | PlatformClass<"FileSystemDirectoryHandle">
  | CheckpointParts;

/** How a server is asked for files. */
export interface ServerOptions {
  /** Address of the Hub. @default "https://huggingface.co", or in Node the environment's `HF_ENDPOINT` */
  endpoint?: string;
  /** Branch, tag or commit of the Hub id. @default "main" */
  revision?: string;
  /** Headers of every request to the checkpoint's origin, such as `Authorization`. @default none */
  headers?: Record<string, string>;
}

/** Name of the weights where the caller gives none. */
const WEIGHTS = "model.safetensors";
const ADAPTER_WEIGHTS: AdapterFile = "adapter_model.safetensors";
const ADAPTER_CONFIG: AdapterFile = "adapter_config.json";

/** Files of checkpoints, in formats that are read and that are refused by name. */
const CHECKPOINT_FILE = /\.(json|txt|safetensors|bin|pt|pth|ckpt)$/;
/** Depth to which a directory is searched: the Hub's cache keeps models in `snapshots/<commit>`. */
const MAX_DEPTH = 3;

/** Longest path of any platform, in characters. */
const MAX_PATH = 4096;

const HUB_ID = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;

/** Entries of a directory; some versions of TypeScript's library lack the method. */
export const entriesOf = (directory: FileSystemDirectoryHandle) =>
  (directory as unknown as { values(): AsyncIterable<FileSystemHandle> }).values();

async function ofText(text: string, options: ServerOptions): Promise<WireSource> {
  const headers = options.headers ?? {};
  const repository = repositoryOf(text, options);
  if (repository) return ofRepository(repository, options);
  if (/^file:/i.test(text) && URL.canParse(text)) return { kind: "path", path: pathOf(new URL(text)) };
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(text)) return ofAddress(text, headers);
  if (/^(data|blob):/i.test(text)) return { kind: "files", files: [{ name: WEIGHTS, data: await fetchLocal(text) }] };
  if (text === "" || text.length > MAX_PATH || /[\n\0]/.test(text)) {
    const got = JSON.stringify(text.slice(0, 200));
    const more = text.length > 200 ? ` and ${text.length - 200} more characters` : "";
    throw new ClipError(
      "invalid-source",
      `expected a Hub id, an address or a path, got ${got}${more}; pass the contents of files as bytes, Blobs or { weights, config }`,
    );
  }
  if (readsDisk) return { kind: "path", path: text };
  const place = ofAddress(text, headers);
  return /^[./]/.test(text) ? place : { ...place, relative: text };
}

/** A repository on the Hub, or a folder or file in it. */
interface Repository {
  /** Address of the Hub. */
  hub: string;
  id: string;
  revision: string;
  /** Path in the repository, as the address spells it. */
  path: string;
  /** Query of every request. */
  query: string;
  /** The Hub id, if the caller gave nothing else. */
  plain?: string;
}

/**
 * Reads a Hub id, or the address of a repository's page: `<hub>/owner/model`, or with `/tree/<revision>/<folder>` or
 * `/blob/<revision>/<file>` after it.
 */
function repositoryOf(text: string, { endpoint, revision }: ServerOptions): Repository | undefined {
  const [, hub = "", query = ""] = /^([^?#]*?)\/*(\?[^#]*)?(?:#.*)?$/.exec(endpoint ?? hubEndpoint()) ?? [];
  const at = { hub, revision: revision ?? "main", path: "", query };
  if (HUB_ID.test(text)) return { ...at, id: text, ...(revision === undefined && { plain: text }) };
  if (!text.startsWith(`${hub}/`)) return undefined;
  const page = /^([^/?#]+\/[^/?#]+)(?:\/(?:tree|blob|resolve|raw)\/([^/?#]+)((?:\/[^?#]*)?))?\/?(\?[^#]*)?(?:#.*)?$/;
  const [, id = "", rev, path = "", own] = page.exec(text.slice(hub.length + 1)) ?? [];
  if (!HUB_ID.test(id)) return undefined;
  return { ...at, id, ...(rev !== undefined && { revision: decodeEscapes(rev) }), path, query: own ?? query };
}

function ofRepository({ hub, id, revision, path, query, plain }: Repository, options: ServerOptions): WireSource {
  const at = encodeURIComponent(revision);
  const place = ofAddress(`${hub}/${id}/resolve/${at}${path || "/"}${query}`, options.headers ?? {});
  // the list names files from the repository's root on
  const isRoot = !path.replace(/^\/|[^/]+\.safetensors$/g, "");
  const sums = isRoot && { sums: resolve(`${hub}/api/models/${id}/tree/${at}`) };
  return { ...place, ...sums, ...(plain !== undefined && { hub: plain }) };
}

/** Reads the address of a folder, or of one file of weights in it. */
function ofAddress(given: string, headers: Record<string, string>): Extract<WireSource, { kind: "url" }> {
  const { address, headers: user } = splitUser(resolve(given));
  const [, path = "", query = ""] = /^([^?#]*)(\?[^#]*)?/.exec(address) ?? [];
  const [, base, file] = /^(.*\/)([^/]+\.safetensors)$/.exec(path) ?? [];
  const place = base !== undefined && file !== undefined ? { base, file } : { base: path };
  return { kind: "url", ...place, ...(query.length > 1 && { query }), headers: { ...user, ...headers } };
}

/** Fetches what this page or process holds itself: its workers may not find it. */
async function fetchLocal(address: string): Promise<Blob> {
  try {
    return await (await fetchAddress(address)).blob();
  } catch (error) {
    const { message } = error as Error;
    throw new ClipError("source-unreadable", `cannot read ${excerpt(address)}: ${message}`, { cause: error });
  }
}

function hubEndpoint(): string {
  const env = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env;
  return env?.HF_ENDPOINT || "https://huggingface.co";
}

/** @throws ClipError `invalid-source` for a malformed address */
function resolve(address: string): string {
  const whole = absolute(address);
  if (URL.canParse(whole)) return whole;
  throw new ClipError("invalid-source", `expected an address, got ${describeValue(address)}`);
}

const originOf = (source: WireSource) => (source.kind === "url" ? new URL(source.base).origin : undefined);

/**
 * Converts the source of an adapter, whose files have PEFT's names, to what the worker takes. The headers are for the origin of the
 * model, if that comes from a server.
 *
 * @throws ClipError `invalid-source`, `invalid-option`
 */
export async function toWireAdapter(
  adapter: ClipSource,
  options: ServerOptions,
  model: WireSource,
): Promise<WireSource> {
  // the revision is one of the model's repository
  const { revision: _, ...server } = options;
  if (typeof adapter === "object" && adapter !== null && "weights" in adapter && "config" in adapter) {
    const { weights, config } = adapter;
    if (isFileBytes(weights) && (typeof config === "string" || (typeof config === "object" && config !== null))) {
      const named: NamedFile[] = [
        { name: ADAPTER_WEIGHTS, data: await fileData(weights) },
        { name: ADAPTER_CONFIG, data: await textData("adapter.config", config) },
      ];
      return { kind: "files", files: named };
    }
  }
  let source = await toWireSource(adapter, server);
  const headersOf = originOf(model);
  if (source.kind === "url" && options.headers && headersOf !== undefined && headersOf !== originOf(source)) {
    const { headers: _, ...others } = server;
    source = { ...((await toWireSource(adapter, others)) as typeof source), headersOf };
  }
  if (source.kind !== "files" || source.files.some(({ name }) => name.endsWith(ADAPTER_WEIGHTS))) return source;
  const names = source.files.map(({ name }) => name).join(", ");
  throw new ClipError(
    "invalid-source",
    `expected ${ADAPTER_WEIGHTS} and ${ADAPTER_CONFIG}, got ${excerpt(names) || "no files"}`,
  );
}

/** Lists the files of checkpoints in a directory and below. */
async function filesOf(
  directory: FileSystemDirectoryHandle,
  path = `${directory.name}/`,
  depth = 0,
): Promise<NamedFile[]> {
  const files: NamedFile[] = [];
  for await (const entry of entriesOf(directory)) {
    const name = path + entry.name;
    if (entry.kind === "file") {
      if (CHECKPOINT_FILE.test(name)) files.push({ name, data: await (entry as FileSystemFileHandle).getFile() });
    } else if (depth < MAX_DEPTH && !/^\.|^node_modules$/.test(entry.name)) {
      files.push(...(await filesOf(entry as FileSystemDirectoryHandle, `${name}/`, depth + 1)));
    }
  }
  return files;
}

/**
 * Converts a source to what the worker takes.
 *
 * @throws ClipError `invalid-source`, `invalid-option`
 */
export async function toWireSource(source: ClipSource, options: ServerOptions): Promise<WireSource> {
  if (options.revision !== undefined && !(typeof source === "string" && HUB_ID.test(source))) {
    throw new ClipError(
      "invalid-option",
      `invalid option revision: only Hub ids have revisions, got ${describeValue(options.revision)}`,
    );
  }
  if (typeof source === "string") return ofText(source, options);
  if (isUrl(source)) return ofText(source.href, options);
  if (isFileBytes(source)) return { kind: "files", files: [{ name: WEIGHTS, data: await fileData(source) }] };
  if (typeof source === "object" && source !== null) {
    if ("weights" in source) return { kind: "files", files: await partFiles(source) };
    if (isFolderHandle(source)) return { kind: "files", files: await filesOf(source) };
    const list = Array.from(source as Iterable<File>);
    if (list.length > 0 && list.every(isFile)) {
      const named = async (file: File) => ({
        name: file.webkitRelativePath || file.name,
        data: await sendable(file),
      });
      return { kind: "files", files: await Promise.all(list.map(named)) };
    }
  }
  throw new ClipError(
    "invalid-source",
    `expected a Hub id, an address, files, or safetensors bytes or a Blob of them, got ${describeType(source)}`,
  );
}
