/**
 * `npm run test:package`: installs the packed tarball into the projects of test/package/, builds and runs them as their users would, and
 * prints a table. Names of rows or projects run these alone; `--write` puts their lines into docs/guide/bundlers.md; `--tarball <file>`
 * tests that one, such as a release.
 */

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { PROJECTS } from "../test/package/rows.mjs";
import { build } from "./build.mjs";
import { fail, ROOT, say } from "./jobs.mjs";
import { setUpChromium, setUpPackages } from "./setup.mjs";

const GUIDE = join(ROOT, "docs", "guide", "bundlers.md");
const HEAD = ["set-up", "versions", "what it needs", "largest difference", "deploys", "downloads"];
const MARKS = ["<!-- table: npm run test:package -- --write -->", "<!-- end of table -->"];

const chromiumVersion = () =>
  /\d+/.exec(execFileSync(process.env.CHROMIUM_PATH, ["--version"], { encoding: "utf8" }))?.[0] ?? "";

const kilobytes = (bytes) => `${(bytes / 1024).toFixed(1)} KB`;
const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MB`;

/** The tool's version, and the Node that it needs if that is not the one of all. */
function versionsOf({ project: { install }, row }) {
  const names = [...(row.versions ?? Object.keys(install).slice(0, 1)), ...(install.node ? ["node"] : [])];
  return names.map((name) => `${name} ${install[name] ?? process.versions[name]}`).join(", ") || "—";
}

function line(result) {
  const { row, error, difference, deployed, scripts, wasm } = result;
  const outcome = error
    ? "**fails**"
    : difference === undefined
      ? "compiles"
      : difference.toExponential(1).replace("0.0e+0", "equal");
  return [
    row.title,
    versionsOf(result),
    row.config ? `\`${row.config}\`` : "nothing",
    outcome,
    deployed === undefined ? "" : megabytes(deployed),
    scripts === undefined ? "" : `${kilobytes(scripts)} + ${megabytes(wasm)}`,
  ];
}

/** A table in Markdown, padded as Biome pads it. */
function markdown(rows) {
  const widths = rows[0].map((_, i) => Math.max(3, ...rows.map((cells) => cells[i].length)));
  const write = (cells) => `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`;
  const [head, ...rest] = rows;
  return [write(head), write(widths.map((width) => "-".repeat(width))), ...rest.map(write)].join("\n");
}

/** The table of some lines, in the order of the projects. */
function tableOf(lines) {
  const titles = PROJECTS.flatMap(({ rows }) => rows.map(({ title }) => title));
  return markdown([HEAD, ...titles.flatMap((title) => lines.filter(([first]) => first === title))]);
}

/** Puts lines into the guide; rows that did not run keep theirs. */
function write(lines) {
  const page = readFileSync(GUIDE, "utf8");
  const [begin, end] = MARKS.map((mark) => page.indexOf(mark));
  if (begin < 0 || end < begin) fail(`${GUIDE} lacks its marks: ${MARKS.join(" and ")}`);
  const written = page
    .slice(begin, end)
    .split("\n")
    .filter((row) => row.startsWith("| "))
    .map((row) => row.split(" | ").map((cell) => cell.replace(/^\| | \|$/g, "").trim()));
  const kept = written.filter(([title]) => !lines.some(([other]) => other === title));
  const today = new Date().toISOString().slice(0, 10);
  const caption = `Chromium ${chromiumVersion()}, Node ${process.versions.node}; ${today}.`;
  const table = tableOf([...kept, ...lines]);
  writeFileSync(GUIDE, `${page.slice(0, begin)}${MARKS[0]}\n\n${table}\n\n${caption}\n\n${page.slice(end)}`);
}

const { values, positionals: names } = parseArgs({
  allowPositionals: true,
  options: { write: { type: "boolean", default: false }, tarball: { type: "string" } },
});
const known = new Set(PROJECTS.flatMap((project) => [project.name, ...project.rows.map(({ name }) => name)]));
const unknown = names.find((name) => !known.has(name));
if (unknown) fail(`no row ${unknown}: expected ${[...known].join(", ")}`);

await (values.tarball ? setUpPackages() : build());
// imports a package
const { runRows } = await import("../test/package/run.mjs");
process.env.CHROMIUM_PATH = await setUpChromium();
const begin = Date.now();
const results = await runRows(names.length > 0 ? names : undefined, {
  tarball: values.tarball && resolve(values.tarball),
  report: ({ row, error, seconds }) =>
    say(`${error ? "✗" : "✓"} ${row.name}, ${seconds.toFixed(0)} s${error ? `\n${error}` : ""}`),
});
const lines = results.map(line);
const failed = results.filter(({ error }) => error).length;
console.log(
  `\n${tableOf(lines)}\n\n${results.length - failed} passed, ${failed} failed, ${((Date.now() - begin) / 60_000).toFixed(1)} min`,
);
if (values.write) write(lines);
process.exit(failed === 0 ? 0 : 1);
