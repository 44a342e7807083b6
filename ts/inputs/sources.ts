/** Checkpoints in the forms that callers give them. */

import { readsDisk, sendable } from "#place";
import { type Bytes, isFile, isFolderHandle, isUrl } from "../../workers/protocol/bytes.js";
import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import type { AdapterFile, NamedFile, WireSource } from "../../workers/protocol/load.js";
import { describeType, describeValue } from "../options/describe.js";
import { type CheckpointParts, fileData, isFileBytes, partFiles, textData } from "./checkpoint-parts.js";
import { absolute, pathOf } from "./location.js";

/**
 * Where a checkpoint is:
 * - a Hub id (`"laion/CLIP-ViT-B-32-laion2B-s34B-b79K"`);
 * - the address of a folder (`"https://…/"`, `"/models/clip/"`, a `URL`) or of one `.safetensors` file; its query is sent with
 *   every request;
 * - in Node, the path of a folder or file (`"./model"`); an existing folder takes precedence over a Hub id of the same name;
 * - picked or dropped files, or a directory handle: of one model, which may be in a subfolder;
 * - the bytes of a safetensors file that clipwright wrote: it contains configuration and tokenizer;
 * - the files one by one: {@link CheckpointParts}.
 */
export type ClipSource = string | URL | Bytes | readonly File[] | FileSystemDirectoryHandle | CheckpointParts;

/** How a server is asked for files. */
export interface ServerOptions {
  /** Address of the Hub. @default "https://huggingface.co", or in Node the environment's `HF_ENDPOINT` */
  endpoint?: string;
  /** Branch, tag or commit of the Hub id. @default "main" */
  revision?: string;
  /** Headers of every request, such as `Authorization`. @default none */
  headers?: Record<string, string>;
}

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

function ofText(text: string, options: ServerOptions): WireSource {
  const headers = options.headers ?? {};
  const hub = (options.endpoint ?? hubEndpoint()).replace(/\/+$/, "");
  const { id, revision = options.revision ?? "main" } = repositoryOf(text, hub);
  if (id !== undefined) {
    const at = encodeURIComponent(revision);
    const sums = resolve(`${hub}/api/models/${id}/tree/${at}`);
    const base = resolve(`${hub}/${id}/resolve/${at}/`);
    return { kind: "url", base, ...(id === text && options.revision === undefined && { hub: id }), sums, headers };
  }
  if (/^file:/i.test(text)) return { kind: "path", path: pathOf(new URL(text)) };
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(text)) return ofAddress(text, headers);
  if (text === "" || text.length > MAX_PATH || /[\n\0]|^(data|blob):/i.test(text)) {
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

/** Reads a Hub id, or the address of a repository's page: `<hub>/owner/model`, `<hub>/owner/model/tree/<revision>`. */
function repositoryOf(text: string, hub: string): { id?: string; revision?: string } {
  if (HUB_ID.test(text)) return { id: text };
  const path = text.startsWith(`${hub}/`) ? text.slice(hub.length + 1) : "";
  const [, id = "", revision] = /^([^/?#]+\/[^/?#]+)(?:\/tree\/([\w.-]+))?\/?(?:[?#].*)?$/.exec(path) ?? [];
  return HUB_ID.test(id) ? { id, ...(revision !== undefined && { revision }) } : {};
}

/** Reads the address of a folder, or of one file of weights in it. */
function ofAddress(address: string, headers: Record<string, string>): Extract<WireSource, { kind: "url" }> {
  const [, path = "", query = ""] = /^([^?#]*)(\?[^#]*)?/.exec(new URL(resolve(address)).href) ?? [];
  const [, base, file] = /^(.*\/)([^/]+\.safetensors)$/.exec(path) ?? [];
  const place = base !== undefined && file !== undefined ? { base, file } : { base: path };
  return { kind: "url", ...place, ...(query.length > 1 && { query }), headers };
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

/**
 * Converts the source of an adapter, whose files have PEFT's names, to what the worker takes.
 *
 * @throws ClipError `invalid-source`, `invalid-option`
 */
export async function toWireAdapter(adapter: ClipSource, options: ServerOptions): Promise<WireSource> {
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
  const source = await toWireSource(adapter, server);
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
  if (isFileBytes(source))
    return { kind: "files", files: [{ name: "model.safetensors", data: await fileData(source) }] };
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
