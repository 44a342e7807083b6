/** Pictures that a table names: at its address, or in its folder on disk. */

import { spelledOnDisk } from "#disk";
import { isUrl, tagOf } from "../../workers/protocol/bytes.js";
import type { ImageInput } from "../inputs/images.js";
import { isAbsolute, locate } from "../inputs/location.js";
import type { ReadableSource } from "./readable.js";

/** A picture of that name; nothing where there can be none. */
export type ImageFinder = (name: string) => ImageInput | undefined | Promise<ImageInput | undefined>;

const onDisk =
  (folder: string): ImageFinder =>
  (name) =>
    isAbsolute(name) ? name : spelledOnDisk(/^(?:[/\\]|[a-z]:[/\\])/i.test(name) ? name : `${folder}${name}`);

/** Names are not addresses: `#`, `?` and `%` are characters of theirs. */
const encodeName = (name: string) => name.replaceAll("\\", "/").split("/").map(encodeURIComponent).join("/");

const atAddress =
  (base: string): ImageFinder =>
  (name) => {
    const whole = isAbsolute(name) || name.startsWith("//");
    const relative = whole ? name : encodeName(name);
    if (!URL.canParse(relative, base)) return undefined;
    const [address, { origin, search }] = [new URL(relative, base), new URL(base)];
    // what was signed for the table is signed for what lies beside it
    if (!whole && address.origin === origin) address.search = search;
    // whoever wrote a table on a server has no say over the files here
    return /^(https?|data|blob):$/.test(address.protocol) ? address : undefined;
  };

/** Finds pictures by their names beside a table, or beside the page or the program where the table is nowhere. */
export function imagesBeside(source: ReadableSource): ImageFinder {
  let where: string | URL = "./";
  if (typeof source === "string" || isUrl(source)) where = source;
  else if (tagOf(source) === "Response") where = (source as Response).url || where;
  const place = locate(where);
  if ("address" in place) return atAddress(place.address);
  return onDisk(where === "./" ? "" : place.path.replace(/[^/\\]*$/, ""));
}
