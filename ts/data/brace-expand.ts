/** Expands `a/{000..002}.tar` as Python's `braceexpand` does, which WebDataset uses. */

import { invalidOption } from "../options/invalid-option.js";

/** Limit of names: more than any data set has shards. */
const MAX_NAMES = 100_000;

const refuse = (expected: string, got: string) => invalidOption("shards", expected, JSON.stringify(got.slice(0, 200)));

/** Expands a range of numbers. If one begins with a zero, all are padded to the wider of the two. */
function numbersOf(from: string, to: string, step: number): string[] {
  const width = [from, to].some((text) => /^-?0\d/.test(text)) ? Math.max(from.length, to.length) : 0;
  const count = Math.floor((Number(to) - Number(from)) / step) + 1;
  if (!(count >= 1 && count <= MAX_NAMES))
    throw refuse(`an ascending range of at most ${MAX_NAMES} shards`, `{${from}..${to}}`);
  return Array.from({ length: count }, (_, i) => {
    const number = Number(from) + i * step;
    return number < 0 ? `-${String(-number).padStart(width - 1, "0")}` : String(number).padStart(width, "0");
  });
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

function lettersOf(from: string, to: string, step: number): string[] {
  const letters = [...LETTERS.slice(LETTERS.indexOf(from), LETTERS.indexOf(to) + 1)];
  if (letters.length === 0) throw refuse("an ascending range", `{${from}..${to}}`);
  return letters.filter((_, i) => i % step === 0);
}

/** Returns the indices of the wanted characters outside of braces; a backslash escapes a character. */
function outermost(text: string, wanted: string): number[] {
  const found: number[] = [];
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at] as string;
    if (char === "\\" && "{},\\".includes(text[at + 1] ?? " ")) at++;
    else {
      if (char === "}") depth--;
      if (depth < 0) throw refuse("balanced braces, or \\{ for a literal one", text);
      if (depth === 0 && wanted.includes(char)) found.push(at);
      if (char === "{") depth++;
    }
  }
  if (depth !== 0) throw refuse("balanced braces, or \\{ for a literal one", text);
  return found;
}

/** Expands the text between two braces; `undefined` where it is neither a range nor a list. */
function inBraces(text: string): string[] | undefined {
  const [, from, to, by] = /^(-?\d+|[A-Za-z])\.\.(-?\d+|[A-Za-z])(?:\.\.-?(\d+))?$/.exec(text) ?? [];
  if (from !== undefined && to !== undefined && /\d/.test(from) === /\d/.test(to)) {
    return /\d/.test(from) ? numbersOf(from, to, Number(by) || 1) : lettersOf(from, to, Number(by) || 1);
  }
  const commas = outermost(text, ",");
  if (commas.length === 0) return undefined;
  return [-1, ...commas].flatMap((comma, i) => expand(text.slice(comma + 1, commas[i])));
}

function expand(text: string): string[] {
  const braces = outermost(text, "{}");
  let names = [""];
  const add = (parts: readonly string[]) => {
    if (names.length * parts.length > MAX_NAMES) throw refuse(`at most ${MAX_NAMES} shards`, text);
    names = names.flatMap((name) => parts.map((part) => name + part));
  };
  let done = 0;
  for (let i = 0; i + 1 < braces.length; i += 2) {
    const [open, close] = [braces[i] as number, braces[i + 1] as number];
    const inside = text.slice(open + 1, close);
    add([text.slice(done, open)]);
    add(inBraces(inside) ?? expand(inside).map((part) => `{${part}}`));
    done = close + 1;
  }
  add([text.slice(done)]);
  return names;
}

/** Replaces `\` by `/` in Windows paths, where both separate folders. */
const slashed = (name: string) => (/^([a-z]:|\\)\\/i.test(name) ? name.replaceAll("\\", "/") : name);

/**
 * Expands ascending ranges (`{000..012}`, `{a..f}`, `{0..8..2}`) and lists (`{train,test}`) in a name, in order. `\{` stands for a
 * literal brace.
 *
 * @throws ClipError `invalid-option`
 */
export function expandBraces(name: string): string[] {
  if (!/[{}]/.test(name)) return [name];
  return expand(slashed(name)).map((each) => each.replace(/\\([{},\\])/g, "$1"));
}
