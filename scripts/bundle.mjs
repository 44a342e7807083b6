/**
 * Bundles ts/ and workers/ into dist/, which is what users install: `npm run build`, `npm run dev` and the tests call it. Why, and why
 * by rolldown: docs/decisions/0028.
 *
 * - `encode.js`, and `training.js` with the rest of `index.js`, for browsers, with chunks that they share or load on demand
 * - `index.node.js`, `encode.node.js` and `….cjs` for Node, one file each
 * - `workers/`: one self-contained file a worker, for browsers and (`….node.js`) for Node
 * - `wasm/`: the modules
 */

import { cpSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const DIST = join(ROOT, "dist");
const WASM = join(ROOT, "workers", "wasm");

/** Packages that Node may have, and that are imported when they are needed. */
const OPTIONAL = ["webgpu"];

/**
 * Where Node's bundles take the platform's classes from. Jest's jsdom hides most of them, and jsdom and happy-dom have others in their
 * place, which a worker cannot receive: docs/decisions/0029.
 */
const NODE_CLASSES = Object.fromEntries(
  Object.entries({
    "node:buffer": ["Blob"],
    "node:stream/web": ["DecompressionStream", "ReadableStream", "TransformStream", "WritableStream"],
    "node:url": ["URL"],
    "node:util": ["TextDecoder", "TextEncoder"],
    "node:worker_threads": ["MessageChannel"],
  }).flatMap(([module, names]) => names.map((name) => [name, [module, name]])),
);

/** Leaves out what starts a module that is already there as bytes: workers start theirs by `default`. */
const WITHOUT_INIT_SYNC = {
  name: "without-init-sync",
  transform: (code) => code.replace("export { initSync, ", "export { "),
};

/**
 * Minifies the glue of each module by itself and puts it in front of the worker. What is the same in all modules then has the same
 * names, and gzip finds it: the glue of a worker that encodes is 16 KB instead of 20.
 */
function glueInFront() {
  const glue = new Map();
  return {
    plugin: {
      name: "glue-in-front",
      async transform(code) {
        let changed = code;
        for (const [statement, local, module] of code.matchAll(
          /import \* as (\w+) from "\.\.\/wasm\/([\w-]+)\.js";/g,
        )) {
          const name = `glue_${module.replaceAll("-", "_")}`;
          const build = await rolldown({ input: join(WASM, `${module}.js`), plugins: [WITHOUT_INIT_SYNC] });
          const [file] = (await build.generate({ format: "iife", name, exports: "named", minify: true })).output;
          await build.close();
          glue.set(name, file.code);
          changed = changed.replace(statement, `const ${local} = ${name};`);
        }
        return changed === code ? undefined : changed;
      },
    },
    code: () =>
      [...glue.keys()]
        .sort()
        .map((name) => glue.get(name))
        .join(""),
  };
}

/** Bundles entries, by the names of their files in dist/; returns the files that it wrote. Several entries share chunks. */
async function bundle(entries, { node = false, format = "es" } = {}) {
  const glue = glueInFront();
  const build = await rolldown({
    input: Object.fromEntries(Object.entries(entries).map(([file, entry]) => [file, join(ROOT, entry)])),
    platform: node ? "node" : "browser",
    external: node ? OPTIONAL : [],
    plugins: node ? [] : [glue.plugin],
    resolve: { extensionAlias: { ".js": [".ts", ".js"] } },
    tsconfig: false,
    transform: { target: "es2022", inject: node ? NODE_CLASSES : {} },
    treeshake: { moduleSideEffects: false },
    onLog(level, log) {
      // a slow machine is no fault of the build
      if (log.code === "PLUGIN_TIMINGS") return;
      if (level !== "debug" && level !== "info") throw new Error(`${Object.keys(entries)}: ${log.message}`);
    },
  });
  const { output } = await build.write({
    dir: DIST,
    format,
    entryFileNames: "[name]",
    chunkFileNames: "chunks/[name].js",
    codeSplitting: Object.keys(entries).length > 1,
    // browsers download it; in Node a stack trace that can be read is worth more
    minify: !node,
    postBanner: glue.code,
    comments: { legal: true, jsdoc: false },
  });
  await build.close();
  return output;
}

/**
 * Fails if a file for browsers imports a package, or a worker anything: bundlers and pages without one could not load it; and if a chunk
 * has an address, for that is written as seen from dist/.
 */
function checkFile({ fileName, code, imports, dynamicImports }) {
  const foreign = [...imports, ...dynamicImports].find(
    (name) => fileName.startsWith("workers/") || !/^chunks\//.test(name),
  );
  if (foreign) throw new Error(`dist/${fileName} imports ${foreign}: browsers cannot`);
  if (fileName.startsWith("chunks/") && code.includes("import.meta.url"))
    throw new Error(`dist/${fileName} names a file as seen from dist/: both entries use what starts a worker`);
}

/** A file that names what files export and no more: bundlers leave out the files of names that an app does not import. */
const namesOf = (entries) =>
  entries.map(({ fileName, exports }) => `export { ${exports.join(", ")} } from "./${fileName}";\n`).join("");

/** Copies the modules that changed. */
function copyModules() {
  mkdirSync(join(DIST, "wasm"), { recursive: true });
  return readdirSync(WASM)
    .filter((name) => name.endsWith(".wasm"))
    .map((name) => {
      const [from, to] = [join(WASM, name), join(DIST, "wasm", name)];
      const is = statSync(to, { throwIfNoEntry: false });
      const was = statSync(from);
      if (is?.size !== was.size || is.mtimeMs !== was.mtimeMs) cpSync(from, to, { preserveTimestamps: true });
      return `wasm/${name}`;
    });
}

/** Removes what an earlier build left, but for the types, which `types.mjs` makes. */
function removeOthers(kept) {
  for (const entry of readdirSync(DIST, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (
      entry.isFile() &&
      !/\.d\.c?ts$/.test(entry.name) &&
      !kept.has(path.slice(DIST.length + 1).replaceAll("\\", "/"))
    )
      rmSync(path);
  }
}

/** Bundles everything; vitest calls it before its tests. */
export default async function bundleAll() {
  const worker = (name) => bundle({ [`workers/${name}.js`]: `workers/entries/${name}.ts` });
  const forNode = (to, from, format) => bundle({ [to]: from }, { node: true, format });
  const [page, ...workers] = await Promise.all([
    bundle({ "encode.js": "ts/encode.ts", "training.js": "ts/training.ts" }),
    ...["encode", "train", "images", "thread"].map(worker),
  ]);
  const node = await Promise.all([
    ...["index", "encode"].flatMap((name) => [
      forNode(`${name}.node.js`, `ts/${name}.ts`, "es"),
      forNode(`${name}.cjs`, `ts/${name}.ts`, "cjs"),
    ]),
    ...["encode", "train", "images"].map((name) =>
      forNode(`workers/${name}.node.js`, `workers/entries/${name}.node.ts`, "es"),
    ),
  ]);
  for (const chunk of [page, ...workers].flat()) checkFile(chunk);
  writeFileSync(join(DIST, "index.js"), namesOf(page.filter(({ isEntry }) => isEntry)));
  const written = [...page, ...workers, ...node].flat().map(({ fileName }) => fileName);
  removeOthers(new Set(["index.js", ...written, ...copyModules()]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundleAll();
