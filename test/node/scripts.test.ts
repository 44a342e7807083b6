import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

/** Imports of packages that a script and what it imports load before their first line runs. */
function packagesAtStart(path: string, seen = new Set<string>()): string[] {
  if (seen.has(path)) return [];
  seen.add(path);
  const names = [
    ...readFileSync(path, "utf8").matchAll(/^(?:import|export)\b(?:[^"'`;=()]*\bfrom)?\s*"([^"]+)"/gm),
  ].map(([, name]) => name as string);
  return names.flatMap((name) => {
    if (name.startsWith("node:")) return [];
    if (!name.startsWith(".")) return [`${path.slice(ROOT.length + 1)} imports ${name}`];
    return packagesAtStart(join(dirname(path), name), seen);
  });
}

test.each(Object.entries<string>(scripts))(
  "npm run %s starts without npm's packages, which it installs",
  (_, command) => {
    const [node, script] = command.split(" ");
    expect(node).toBe("node");
    expect(packagesAtStart(join(ROOT, script as string))).toEqual([]);
  },
);
