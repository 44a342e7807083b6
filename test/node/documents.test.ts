/** Documents name files that exist, and decisions say their status. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");
const decisions = readdirSync(join(root, "docs/decisions")).filter((name) => /^\d{4}-/.test(name));
const documents = [
  "README.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  ...["", "guide/", "decisions/"].flatMap((folder) =>
    readdirSync(join(root, "docs", folder))
      .filter((name) => name.endsWith(".md"))
      .map((name) => `docs/${folder}${name}`),
  ),
];

test.each(documents)("every link of %s leads to a file and a heading", (document) => {
  const missing = [...read(document).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)/g)].filter(
    ([, path, heading]) => {
      const file = path ? join(dirname(document), path) : document;
      if (!existsSync(join(root, file))) return true;
      if (!heading) return false;
      const anchors = [...read(file).matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
        (title as string)
          .toLowerCase()
          .replace(/[^\p{L}\p{N}\- ]/gu, "")
          .replaceAll(" ", "-"),
      );
      return !anchors.includes(heading);
    },
  );
  expect(missing.map(([link]) => link)).toEqual([]);
});

/** Paths of a text: with a folder or an extension of ours. */
const paths = (text: string) =>
  [...text.matchAll(/`([\w.\-/]+(?:\/|\.(?:rs|ts|mjs|md|json)))`/g)].map(([, path]) => path as string);

test("every path in ARCHITECTURE.md exists, from the root or from the folder of its section", () => {
  const missing: string[] = [];
  for (const section of read("ARCHITECTURE.md").split(/^## /m)) {
    const heading = section.split("\n", 1)[0] ?? "";
    const folders = ["", ...paths(heading), "crates/clip-core/src/", "crates/clip-kernels/src/"];
    let folder = "";
    for (const line of section.split("\n")) {
      // `- checkpoint/: …` and its list of files
      if (/^- /.test(line)) folder = paths(line).find((path) => path.endsWith("/")) ?? "";
      for (const path of paths(line)) {
        const places = folders.flatMap((base) => [join(base, path), join(base, folder, path)]);
        if (path !== "wasm/" && !places.some((place) => existsSync(join(root, place)))) missing.push(path);
      }
    }
  }
  expect(missing).toEqual([]);
});

describe("decisions", () => {
  const index = read("docs/decisions/README.md");

  test.each(decisions)("%s says its status, and the index has it", (name) => {
    const page = read(`docs/decisions/${name}`);
    const [, status] = /^\*\*Status\.\*\* (.*)$/m.exec(page) ?? [];
    expect(status).toMatch(/^(Accepted|Amended by \[|Superseded by \[)/);
    const [, number, title] = /^# (\d+)\. (.*)$/m.exec(page) ?? [];
    expect(name.startsWith(String(number).padStart(4, "0"))).toBe(true);
    const row = index.split("\n").find((line) => line.startsWith(`| ${number} `));
    expect(row).toContain(`[${title}](${name})`);
    const amended = [...(status as string).matchAll(/\[(\d+)\]\(0/g)].map(([, by]) => by);
    for (const by of amended) expect(row).toContain(by);
  });
});
