/** Finds the images that a table names: relative to its address, or to its folder on disk. */

import { spelledOnDisk } from "#disk";
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

/** File names are not addresses: `#`, `?` and `%` are part of the name. */
const encodeName = (name: string) => name.replaceAll("\\", "/").split("/").map(encodeURIComponent).join("/");

const atAddress =
  (base: string): ImageFinder =>
  (name) => {
    const whole = isAbsolute(name) || name.startsWith("//");
    const relative = whole ? name : encodeName(name);
    if (!URL.canParse(relative, base)) return undefined;
    const [address, { origin, search }] = [new URL(relative, base), new URL(base)];
    // a signature in the query of the table is valid for its neighbours
    if (!whole && address.origin === origin) address.search = search;
    // a table on a server may not name local files
    return /^(https?|data|blob):$/.test(address.protocol) ? address : undefined;
  };

/** Finds images beside a table; beside the page or the working directory where the table has no location. */
export function imagesBeside(source: ReadableSource): ImageFinder {
  let where: string | URL = "./";
  if (typeof source === "string" || isUrl(source)) where = source;
  else if (tagOf(source) === "Response") where = (source as Response).url || where;
  const place = locate(where);
  if ("address" in place) return atAddress(place.address);
  return onDisk(where === "./" ? "" : place.path.replace(/[^/\\]*$/, ""));
}
