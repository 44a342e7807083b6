/** Which icons become pairs, with which captions, and which are held out. Knows Iconify's JSON, not pixels. */

import { createHash } from "node:crypto";

/** Splits in the order in which they are drawn: a picture that is in several stays in the first one alone. */
export const SPLITS = ["train", "heldout-names", "heldout-sets"];

/** Licences that let anyone train on the icons, and publish them with a credit or without: `info.license.spdx` of a set. */
const PERMISSIVE = new Set([
  ...["MIT", "ISC", "Apache-2.0", "0BSD", "BSD-2-Clause", "BSD-3-Clause", "Unlicense", "CC0-1.0"],
  ...["CC-BY-3.0", "CC-BY-4.0"],
]);

/**
 * Whether a set may be used. One without an SPDX name may not.
 *
 * @param {{ license?: { spdx?: string | undefined } }} info
 */
export const isPermissive = ({ license }) => PERMISSIVE.has(license?.spdx);

/** Whether a text belongs to the share 1/`parts` that is held out: by its SHA-256, so that an update of the sets moves none. */
const inShare = (text, parts) => BigInt(`0x${createHash("sha256").update(text).digest("hex")}`) % BigInt(parts) === 0n;

/** All sets of an author at once: they draw one icon several times, as Font Awesome 5, 6 and 7. */
export const isHeldOutSet = ({ author }) => inShare(author.name, 15);

/** A name in any set and style. */
export const isHeldOutName = (words) => inShare(words, 50);

/** Words in the prefix of a set that say how it is drawn; the other ones are its name. */
const STYLES = new Set([
  ...["outline", "solid", "twotone", "line", "thin", "light", "bold", "sharp", "block"],
  ...["color", "flat", "monotone", "plain", "pixel", "pencil", "freehand"],
]);

/** A size in a name, as 24, 24px or 4x3. */
const SIZE = /^\d+(px|x\d+)?$/;

const asWords = (name) => name.replaceAll("-", " ").trim();

/** The words of a category: `ArtificialIntelligence`, `Food / Drink`. */
const categoryWords = (title) =>
  title
    .replaceAll(/(\p{Ll})(\p{Lu})/gu, "$1 $2")
    .replaceAll(/[^\p{L}\p{N}]+/gu, " ")
    .trim()
    .toLowerCase();

/** Splits names of a set into words for what is drawn and words for how, without sizes. */
function nameReader(set) {
  const longestFirst = (affixes) => Object.keys(affixes ?? {}).sort((a, b) => b.length - a.length);
  const suffixes = longestFirst(set.suffixes).filter(Boolean);
  const prefixes = longestFirst(set.prefixes).filter(Boolean);
  const ofSet = set.prefix.split("-").filter((word) => STYLES.has(word));
  return (name) => {
    const suffix = suffixes.find((affix) => name.endsWith(`-${affix}`));
    const prefix = prefixes.find((affix) => name.startsWith(`${affix}-`));
    const what = name.slice(prefix ? prefix.length + 1 : 0, suffix ? -suffix.length - 1 : undefined);
    const how = [...new Set([prefix, suffix].flatMap((affix) => affix?.split("-") ?? []).concat(ofSet))];
    return { what: asWords(what), how: how.filter((word) => !SIZE.test(word)).join(" ") };
  };
}

/** Names of each icon besides its own, from the set's aliases; not those that turn or mirror it. */
function aliasesOf(set) {
  const aliases = set.aliases ?? {};
  const names = new Map();
  for (const alias of Object.keys(aliases)) {
    let icon = alias;
    for (let depth = 0; icon in aliases && depth < 10; depth++) {
      const { parent, rotate, hFlip, vFlip } = aliases[icon];
      icon = rotate || hFlip || vFlip ? undefined : parent;
    }
    if (icon in set.icons) names.set(icon, [...(names.get(icon) ?? []), alias]);
  }
  return names;
}

/** Categories of each icon, as words. */
function categoriesOf(set) {
  const categories = new Map();
  for (const [title, names] of Object.entries(set.categories ?? {})) {
    const words = categoryWords(title);
    for (const name of names) categories.set(name, [...(categories.get(name) ?? []), words]);
  }
  return categories;
}

/**
 * The pairs of a set: `{ name, split, captions }`. The first caption is the name, with the style; its aliases follow and, to train on, the
 * name with its categories. Icons that differ in size alone are one pair.
 */
export function* pairsOf(set) {
  const read = nameReader(set);
  const [aliases, categories] = [aliasesOf(set), categoriesOf(set)];
  const setSplit = isHeldOutSet(set.info) ? "heldout-sets" : undefined;
  const seen = new Set();
  for (const name of Object.keys(set.icons)) {
    const { what, how } = read(name);
    const styled = (words) => (how ? `${words} ${how}` : words);
    const first = styled(what);
    if (!what || seen.has(first)) continue;
    seen.add(first);
    const split = setSplit ?? (isHeldOutName(what) ? "heldout-names" : "train");
    const others = (aliases.get(name) ?? []).map((alias) => read(alias).what).filter(Boolean);
    // a held-out name is never trained on, not as the alias of another one either
    const known = split === "train" ? others.filter((words) => !isHeldOutName(words)) : others;
    const captions = [first, ...known.map(styled)];
    const about = categories.get(name);
    if (about && split === "train") captions.push(`${first}, ${about.join(", ")}`);
    yield { name, split, captions: [...new Set(captions)] };
  }
}
