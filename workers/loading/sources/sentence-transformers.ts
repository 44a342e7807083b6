/** Reads the `modules.json` of sentence-transformers, which keeps a model in a subfolder. */

import { ClipError } from "../../protocol/error.js";
import { parseJson } from "./text.js";

/** Modules that change nothing here: embeddings have length one anyway. */
const IGNORED = ["Normalize"];

/**
 * Returns the subfolder of the CLIP that a `modules.json` lists, "" for the folder itself.
 *
 * @throws ClipError `invalid-config` if it lists no CLIP, or modules that would change its embeddings
 */
export function clipFolder(modulesJson: string): string {
  const modules = parseJson("modules.json", modulesJson) as ({ type?: unknown; path?: unknown } | null)[];
  const typed = modules.map((module) => ({ type: String(module?.type).split(".").pop() ?? "", path: module?.path }));
  const clip = typed.find(({ type }) => type === "CLIPModel") ?? typed.find(({ type }) => type === "Transformer");
  const others = typed.filter((module) => module !== clip && !IGNORED.includes(module.type));
  if (!clip || others.length > 0) {
    const got = typed.map(({ type }) => type).join(", ") || "none";
    throw new ClipError(
      "invalid-config",
      `modules.json: expected a CLIPModel alone, got ${got.slice(0, 200)}: other modules are not supported`,
    );
  }
  const path = clip.path ?? "";
  if (typeof path !== "string" || !/^([\w-][\w.-]*(\/[\w-][\w.-]*)*)?$/.test(path)) {
    const got = String(JSON.stringify(path)).slice(0, 200);
    throw new ClipError("invalid-config", `modules.json: expected the path of a subfolder, got ${got}`);
  }
  return path;
}
