/** Finds the images that a table names: relative to its address, or to its folder on disk. */

import { spelledOnDisk } from "#disk";
import { fetchAddress } from "#place";
import { encodePath } from "../../workers/protocol/address.js";
import { isUrl, tagOf } from "../../workers/protocol/bytes.js";
import type { ImageInput } from "../inputs/images.js";
import { isAbsolute, locate } from "../inputs/location.js";
import type { ReadableSource } from "./readable.js";

/** Returns the image of a name, or `undefined` for a name that cannot be one. */
export type ImageFinder = (name: string) => ImageInput | undefined | Promise<ImageInput | undefined>;

const onDisk =
  (folder: string): ImageFinder =>
  (name) =>
    isAbsolute(name) ? name : spelledOnDisk(/^(?:[/\\]|[a-z]:[/\\])/i.test(name) ? name : `${folder}${name}`);

/** Whether a server has a file at an address, and not a page in place of it. */
async function exists(address: URL): Promise<boolean> {
  const response = await fetchAddress(address, { method: "HEAD" }).catch(() => undefined);
  return response?.ok === true && response.headers.get("content-type")?.startsWith("text/html") !== true;
}

/** File names are not addresses: `#`, `?` and `%` are part of the name. */
function atAddress(base: string): ImageFinder {
  const { origin, protocol, search } = new URL(base);
  const beside = (name: string): URL | undefined => {
    const whole = isAbsolute(name) || name.startsWith("//");
    const relative = whole ? name : encodePath(name);
    if (!URL.canParse(relative, base)) return undefined;
    const address = new URL(relative, base);
    // a signature in the query of the table is valid for its neighbours
    if (!whole && address.origin === origin) address.search = search;
    // a table on a server may not name local files
    return /^(https?|data|blob):$/.test(address.protocol) || address.protocol === protocol ? address : undefined;
  };
  /** Whether `\` separates folders, as in tables from Windows, or is part of names: the first such name tells. */
  let separates: Promise<boolean> | undefined;
  return async (name) => {
    const address = beside(name);
    if (!name.includes("\\") || isAbsolute(name) || !address) return address;
    separates ??= exists(address).then((found) => !found);
    return (await separates) ? beside(name.replaceAll("\\", "/")) : address;
  };
}

/** Finds images beside a table; beside the page or the working directory where the table has no location. */
export function imagesBeside(source: ReadableSource): ImageFinder {
  let where: string | URL = "./";
  if (typeof source === "string" || isUrl(source)) where = source;
  else if (tagOf(source) === "Response") where = (source as Response).url || where;
  // what has no neighbours
  if (/^(data|blob):/i.test(String(where))) where = "./";
  const place = locate(where);
  if ("address" in place) return atAddress(place.address);
  return onDisk(where === "./" ? "" : place.path.replace(/[^/\\]*$/, ""));
}
