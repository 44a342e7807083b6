/** What counts as a checkpoint, and how it crosses to the worker. */

import { type Bytes, isFile, isFolderHandle, isUrl } from "../../workers/protocol/bytes.js";
import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import type { AdapterFile, NamedFile, WireSource } from "../../workers/protocol/load.js";
import { describeType, describeValue } from "../options/describe.js";
import { type CheckpointParts, fileData, isFileBytes, partFiles, textData } from "./checkpoint-parts.js";
import { pathOf } from "./location.js";

/**
 * Where a checkpoint is:
 * - a Hub id (`"laion/CLIP-ViT-B-32-laion2B-s34B-b79K"`);
 * - the address of a folder with its files (`"https://…/"`, `"/models/clip/"`, a `URL`), or of one `.safetensors` file; its query
 *   goes with every request;
 * - in Node, the path of a folder or of one file (`"./model"`); a folder goes before a Hub id of the same name;
 * - files that were picked or dropped, or a directory handle: of one model, which may lie in a folder below;
 * - the bytes of one safetensors file that clipwright wrote, which carries everything;
 * - the files one by one.
 */
export type ClipSource = string | URL | Bytes | readonly File[] | FileSystemDirectoryHandle | CheckpointParts;

/** How a server is asked. */
export interface ServerOptions {
  /** Where Hub ids are resolved. @default "https://huggingface.co", or in Node what `HF_ENDPOINT` says */
  endpoint?: string;
  /** Branch, tag or commit of a Hub id. @default "main" */
  revision?: string;
  /** Sent with every request, such as an `Authorization`. */
  headers?: Record<string, string>;
}

const ADAPTER_WEIGHTS: AdapterFile = "adapter_model.safetensors";
const ADAPTER_CONFIG: AdapterFile = "adapter_config.json";

/** Names of files that a checkpoint has, or has in a form that is not read. */
const CHECKPOINT_FILE = /\.(json|txt|safetensors|bin|pt|pth|ckpt)$/;
/** How deep a model is looked for in a directory: the Hub's cache has it under `snapshots/<commit>`. */
const DEPTH = 3;

/** Characters of the longest path that any system has. */
const LONGEST_PATH = 4096;

const HUB_ID = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;

/** What is in a directory, by a method that TypeScript's library lacks in some of its versions. */
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
  if (text === "" || text.length > LONGEST_PATH || /[\n\0]|^(data|blob):/i.test(text)) {
    const got = JSON.stringify(text.slice(0, 200));
    const more = text.length > 200 ? ` and ${text.length - 200} more characters` : "";
    throw new ClipError(
      "invalid-source",
      `expected a Hub id, an address or a path, got ${got}${more}; files' contents are given as bytes, Blobs, or { weights, config }`,
    );
  }
  if (typeof location === "undefined") return { kind: "path", path: text };
  const place = ofAddress(text, headers);
  return /^[./]/.test(text) ? place : { ...place, relative: text };
}

/** The Hub id that a text is, or that the page of a repository is of: `<hub>/owner/model`, `<hub>/owner/model/tree/<revision>`. */
function repositoryOf(text: string, hub: string): { id?: string; revision?: string } {
  if (HUB_ID.test(text)) return { id: text };
  const path = text.startsWith(`${hub}/`) ? text.slice(hub.length + 1) : "";
  const [, id = "", revision] = /^([^/?#]+\/[^/?#]+)(?:\/tree\/([\w.-]+))?\/?(?:[?#].*)?$/.exec(path) ?? [];
  return HUB_ID.test(id) ? { id, ...(revision !== undefined && { revision }) } : {};
}

/** A folder, or one file of weights in it. */
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

/** Address as the worker needs it: it lives elsewhere than the page. */
function resolve(address: string): string {
  try {
    return new URL(address, typeof document === "undefined" ? undefined : document.baseURI).href;
  } catch {
    throw new ClipError("invalid-source", `expected an address, got ${describeValue(address)}`);
  }
}

/** Where an adapter is, as the worker takes it: the same kinds of places, with PEFT's names in them. */
export async function toWireAdapter(adapter: ClipSource, options: ServerOptions): Promise<WireSource> {
  // a branch of the model's is none of another repository's
  const { revision: _, ...server } = options;
  if (typeof adapter === "object" && adapter !== null && "weights" in adapter && "config" in adapter) {
    const { weights, config } = adapter;
    if (isFileBytes(weights) && (typeof config === "string" || (typeof config === "object" && config !== null))) {
      const named: NamedFile[] = [
        { name: ADAPTER_WEIGHTS, data: fileData(weights) },
        { name: ADAPTER_CONFIG, data: textData("adapter.config", config) },
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

/** Files that a checkpoint may have, in a directory and below. */
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
    } else if (depth < DEPTH && !/^\.|^node_modules$/.test(entry.name)) {
      files.push(...(await filesOf(entry as FileSystemDirectoryHandle, `${name}/`, depth + 1)));
    }
  }
  return files;
}

/** A source as the worker takes it. */
export async function toWireSource(source: ClipSource, options: ServerOptions): Promise<WireSource> {
  if (options.revision !== undefined && !(typeof source === "string" && HUB_ID.test(source))) {
    throw new ClipError(
      "invalid-option",
      `invalid option revision: only Hub ids have revisions, got ${describeValue(options.revision)}`,
    );
  }
  if (typeof source === "string") return ofText(source, options);
  if (isUrl(source)) return ofText(source.href, options);
  if (isFileBytes(source)) return { kind: "files", files: [{ name: "model.safetensors", data: fileData(source) }] };
  if (typeof source === "object" && source !== null) {
    if ("weights" in source) return { kind: "files", files: partFiles(source) };
    if (isFolderHandle(source)) return { kind: "files", files: await filesOf(source) };
    const list = Array.from(source as Iterable<File>);
    if (list.length > 0 && list.every(isFile)) {
      return { kind: "files", files: list.map((file) => ({ name: file.webkitRelativePath || file.name, data: file })) };
    }
  }
  throw new ClipError(
    "invalid-source",
    `expected a Hub id, an address, files, or safetensors bytes or a Blob of them, got ${describeType(source)}`,
  );
}
