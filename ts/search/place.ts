/** Where an index is, as callers say it. */

import { readsDisk } from "#place";
import { ClipError } from "../../workers/protocol/error.js";
import type { IndexPlace } from "../../workers/protocol/index-data.js";
import { describeType } from "../options/describe.js";
import { invalidOption } from "../options/invalid-option.js";

/** An index in a file or folder, in Node. */
export interface IndexFile {
  /** Relative to the working directory, or absolute. */
  path: string;
}

/** An index on a server, in Node. */
export interface IndexUrl {
  /** Its address. */
  url: string;
}

/**
 * A name, under which the browser keeps the index for this origin, and Node in the user's data folder; or in Node the path of a file, or
 * an address.
 */
export type IndexAddress = string | IndexFile | IndexUrl;

const MAX_NAME = 100;

/** @throws ClipError `invalid-option`, `platform-unsupported` */
export function toPlace(address: IndexAddress): IndexPlace {
  if (typeof address === "string") {
    const isName = address.length > 0 && address.length <= MAX_NAME && !/[\\/\p{Cc}\p{Cs}]|^\.+$/u.test(address);
    if (isName) return { name: address };
    throw invalidOption(
      "index",
      `a name of at most ${MAX_NAME} characters without slashes, or { path } in Node`,
      JSON.stringify(address.slice(0, MAX_NAME)),
    );
  }
  const { path, url } = Object(address) as { path?: unknown; url?: unknown };
  const place =
    typeof path === "string" && path !== "" ? { path } : typeof url === "string" && url !== "" ? { url } : undefined;
  if (!place) throw invalidOption("index", "a name, { path } or { url }", describeType(address));
  if (readsDisk) return place;
  throw new ClipError(
    "platform-unsupported",
    "browsers keep indexes under a name: pass a string instead of a path or an address",
  );
}
