/** Finds the option that a misspelt or foreign name stands for. */

import type { Rule, Rules } from "./rules.js";

const letters = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, "");

/** Damerau–Levenshtein distance: letters inserted, deleted, replaced, or swapped with their neighbour. */
function distance(a: string, b: string): number {
  let [last, row]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const replaced = (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1);
      const swaps = j > 0 && a[i] === b[j - 1] && a[i - 1] === b[j];
      const swapped = swaps ? (last[j - 1] ?? 0) + 1 : Number.POSITIVE_INFINITY;
      next.push(Math.min(replaced, swapped, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    [last, row] = [row, next];
  }
  return row[b.length] ?? 0;
}

/** All options with their paths; names of nested ones follow a dot. */
function options(rules: Rules): [path: string, rule: Rule][] {
  const inside = (name: string, { schema }: Rule) =>
    schema ? options(schema).map(([inner, rule]): [string, Rule] => [`${name}.${inner}`, rule]) : [];
  return Object.entries(rules).flatMap(([name, rule]) => [[name, rule] as [string, Rule], ...inside(name, rule)]);
}

/** Returns the path of the option that a name and a value most likely stand for, or `undefined` where none is near. */
export function didYouMean(name: string, value: unknown, rules: Rules): string | undefined {
  const meant = letters(name).slice(0, 40);
  const all = options(rules);
  const known = all.map(([path]) => path);
  const last = (path: string) => letters(path.slice(path.lastIndexOf(".") + 1));
  const top = known.filter((path) => !path.includes("."));
  const near = top.map((path) => ({ path, far: distance(meant, letters(path)) })).sort((a, b) => a.far - b.far)[0];
  const begins = (a: string, b: string) => b.length > 3 && a.startsWith(b);
  return (
    known.find((path) => last(path) === meant) ??
    known.find((path) => path === value) ??
    all.find(([, { aliases }]) => aliases?.includes(meant))?.[0] ??
    (near && near.far <= Math.max(1, Math.floor(meant.length / 3)) ? near.path : undefined) ??
    top.find((path) => begins(meant, letters(path)) || begins(letters(path), meant))
  );
}
