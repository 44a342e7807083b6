/** Finds the one model in a folder of folders. */

import { ClipError } from "../../protocol/error.js";
import type { AdapterFile } from "../../protocol/load.js";
import { FileListSource } from "./file-list.js";
import type { Source, SourceFile } from "./source.js";
import { parseJson } from "./text.js";

/** Folders that a message names. */
const MOST_NAMED = 8;

const ADAPTER: AdapterFile = "adapter_model.safetensors";

/** Whether a file is what a model is told by. */
export const isWeights = (name: string) => /\.safetensors(\.index\.json)?$/.test(name) && name !== ADAPTER;

/** Whether a file is what an adapter is told by. */
export const isAdapter = (name: string) => name === ADAPTER;

/** What lies in a folder that holds a model in another form. */
const isOfModel = (name: string) => /^(open_clip_)?config\.json$|\.(bin|pt|pth|ckpt)$/.test(name);

const folderOf = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf("/")));
const nameOf = (path: string) => path.slice(path.lastIndexOf("/") + 1);

/** A folder in a source. */
class SubfolderSource implements Source {
  readonly label: string;
  readonly #source: Source;
  readonly #folder: string;

  constructor(source: Source, folder: string) {
    this.label = `${source.label.replace(/\/$/, "")}/${folder}`;
    this.#source = source;
    this.#folder = folder;
  }

  async list(): Promise<string[] | undefined> {
    const paths = await this.#source.tree();
    return paths?.filter((path) => folderOf(path) === this.#folder).map(nameOf);
  }

  async tree(): Promise<undefined> {
    return undefined;
  }

  text(name: string): Promise<string | undefined> {
    return this.#source.text(`${this.#folder}/${name}`);
  }

  open(name: string): Promise<SourceFile | undefined> {
    return this.#source.open(`${this.#folder}/${name}`);
  }
}

/** Modules of sentence-transformers that change nothing here: embeddings have length one. */
const HARMLESS = ["Normalize"];

/**
 * Folder of the CLIP among the modules of sentence-transformers: "" where it is the folder itself.
 *
 * @throws ClipError `invalid-config` for modules round it that change its embeddings, and for none of it
 */
function folderOfModules(text: string): string {
  const modules = parseJson("modules.json", text) as ({ type?: unknown; path?: unknown } | null)[];
  const typed = modules.map((module) => ({ type: String(module?.type).split(".").pop() ?? "", path: module?.path }));
  const clip = typed.find(({ type }) => type === "CLIPModel") ?? typed.find(({ type }) => type === "Transformer");
  const others = typed.filter((module) => module !== clip && !HARMLESS.includes(module.type)).map(({ type }) => type);
  if (!clip || others.length > 0) {
    const got = typed.map(({ type }) => type).join(", ") || "none";
    throw new ClipError(
      "invalid-config",
      `modules.json: expected a CLIPModel alone, got ${got.slice(0, 200)}: what other modules do to embeddings is not done here`,
    );
  }
  const path = clip.path ?? "";
  if (typeof path !== "string" || !/^([\w-][\w.-]*(\/[\w-][\w.-]*)*)?$/.test(path)) {
    const got = String(JSON.stringify(path)).slice(0, 200);
    throw new ClipError("invalid-config", `modules.json: expected the path of a folder below, got ${got}`);
  }
  return path;
}

const within = (source: Source, folder: string) => (folder === "" ? source : new SubfolderSource(source, folder));

function naming(folders: readonly string[]): string {
  const more = folders.length > MOST_NAMED ? ` and ${folders.length - MOST_NAMED} more` : "";
  return folders.slice(0, MOST_NAMED).join(", ") + more;
}

/**
 * The source itself where it holds what is wanted; else the one folder in it that does, of sentence-transformers that which its
 * `modules.json` names. `warn` is told of other models in folders that were picked along.
 *
 * @throws ClipError `invalid-source` naming the folders where there are several
 */
export async function findModel(
  source: Source,
  isWanted: (name: string) => boolean,
  warn?: (warning: string) => void,
): Promise<Source> {
  if (source.only !== undefined) return source;
  const modules = isWanted === isWeights ? await source.text("modules.json") : undefined;
  if (modules !== undefined) return within(source, folderOfModules(modules));
  const names = await source.list();
  const isHere = names?.some(isWanted);
  // a server tells no names; a folder on disk was named, and what lies below is not looked through
  if (names === undefined || (isHere && !(source instanceof FileListSource))) return source;
  const paths = (await source.tree()) ?? [];
  const having = (is: (name: string) => boolean) =>
    [...new Set(paths.filter((path) => is(nameOf(path))).map(folderOf))].sort();
  const folders = having(isWanted);
  if (isHere) {
    const below = folders.filter((folder) => folder !== "");
    if (below.length > 0) warn?.(`the model of ${source.label} itself was loaded, not those below: ${naming(below)}`);
    return source;
  }
  if (folders.length > 1) {
    throw new ClipError(
      "invalid-source",
      `${source.label}: expected the files of one model, got ${folders.length} folders with weights: ${naming(folders)}; give one of them`,
    );
  }
  // without weights, where the rest lies, so that the message can say what is missing there
  const [folder = ""] = folders.length === 1 ? folders : having(isOfModel);
  return within(source, folder);
}
