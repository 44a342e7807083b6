/** Where the package's own files lie. */

import { addressOfFile } from "#place";
import { setAddresses, type WireAddresses, type WireFiles } from "../workers/protocol/addresses.js";
import { isUrl } from "../workers/protocol/bytes.js";
import type { PlatformClass } from "../workers/protocol/platform-class.js";
import { isAbsolute } from "./inputs/location.js";
import { checkOptions } from "./options/check.js";
import { invalidOption } from "./options/invalid-option.js";
import { isPlainObject, type RuleFor, type Schema } from "./options/rules.js";

/**
 * Where some of the package's files lie: the address of a folder with all of them, or an address for each file by its name. Files
 * without one stay where they are. Relative addresses are relative to the page, or in Node paths.
 */
export type FileAddresses = string | PlatformClass<"URL"> | Readonly<Record<string, string | PlatformClass<"URL">>>;

/** Where the package's own files lie, if a bundler or a server does not keep them where the package has them. */
export interface Addresses {
  /**
   * The workers: `encode.js`, `train.js`, `images.js` and `thread.js`, in Node `encode.node.js` and so on. They may lie on another
   * origin, such as a CDN that allows it (CORS). @default beside clipwright, or where the bundler puts them
   */
  workerUrl?: FileAddresses;
  /** The modules: `encode-cpu_bg.wasm` and so on, as in `clipwright/wasm/`. @default beside the workers */
  wasmUrl?: FileAddresses;
  /** `clip-merges.txt.gz`, CLIP's published vocabulary. @default beside the workers */
  assetsUrl?: FileAddresses;
}

const isAddress = (value: unknown): value is string | URL =>
  (typeof value === "string" && value !== "") || isUrl(value);

/** The address of a folder, or those of files with such names. */
const files = (names: RegExp, example: string): RuleFor<FileAddresses> => ({
  expected: `the address of a folder, or an object with addresses by file name, such as ${example}`,
  accepts: (value) =>
    isAddress(value) ||
    (isPlainObject(value) &&
      Object.entries(value as object).every(([name, address]) => names.test(name) && isAddress(address))),
});

const CONFIGURE = {
  workerUrl: /* @__PURE__ */ files(/^(encode|train|images|thread)(\.node)?\.js$/, "encode.js"),
  wasmUrl: /* @__PURE__ */ files(
    /^((encode|train)-(cpu(-[a-z-]+)?|webgpu)|tokenizers)_bg\.wasm$/,
    "encode-cpu_bg.wasm",
  ),
  assetsUrl: /* @__PURE__ */ files(/^clip-merges\.txt\.gz$/, "clip-merges.txt.gz"),
} satisfies Schema<Addresses>;

function toWire(name: string, files: FileAddresses): WireFiles {
  const absolute = (address: string | URL): string => {
    const text = String(address);
    const url = isAbsolute(text) ? text : addressOfFile(text);
    if (url === undefined || !URL.canParse(url)) throw invalidOption(name, "an address", text);
    return url;
  };
  if (isAddress(files)) return { folder: absolute(files) };
  return { files: Object.fromEntries(Object.entries(files).map(([file, address]) => [file, absolute(address)])) };
}

/**
 * Sets where the package's own files lie, for models that are loaded or made afterwards. A later call replaces an earlier one.
 *
 * @throws ClipError `invalid-option`
 *
 * @example
 * configure({ workerUrl: "/clipwright/workers/", wasmUrl: "/clipwright/wasm/", assetsUrl: "/clipwright/assets/" });
 */
export function configure(addresses: Addresses): void {
  const { workerUrl, wasmUrl, assetsUrl } = checkOptions("configure()", addresses, CONFIGURE);
  const wire: WireAddresses = {};
  if (workerUrl !== undefined) wire.workerUrl = toWire("workerUrl", workerUrl);
  if (wasmUrl !== undefined) wire.wasmUrl = toWire("wasmUrl", wasmUrl);
  if (assetsUrl !== undefined) wire.assetsUrl = toWire("assetsUrl", assetsUrl);
  setAddresses(wire);
}
