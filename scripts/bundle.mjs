/**
 * Bundles ts/ and workers/ into dist/, which is what users install: `npm run build`, `npm run dev` and the tests call it. Why, and why
 * by rolldown: docs/decisions/0028.
 *
 * - `encode.js`, `training.js` and the chunks that they share or load on demand; `index.js` names what both export. For browsers, for Node
 *   (`….node.js`), and for `require` (`….cjs`)
 * - `search.js`: the index, which `index.js` does not name
 * - `workers/`: one self-contained file a worker, for browsers and (`….node.js`) for Node
 * - `wasm/`: the modules
 */

import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolldown } from "rolldown";
import { isStandIn, joinGlue } from "./glue.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const DIST = join(ROOT, "dist");
const WASM = join(ROOT, "workers", "wasm");

/** Packages that Node may have, and that are imported when they are needed. */
const OPTIONAL = ["webgpu", "libsql"];

/** SQLite's own Wasm build, which `workers/runtime/sqlite-wasm.ts` instantiates from `wasm/`. */
const SQLITE = join(ROOT, "node_modules", "@sqlite.org", "sqlite-wasm", "dist");

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

/**
 * Joins the glue of a worker's modules, and puts it in front of the worker: only then is it known which those are. A module that is not
 * built has its own, which says so.
 */
function glueInFront(minify) {
  const glue = {};
  return {
    plugin: {
      name: "glue-in-front",
      transform(code) {
        return code.replaceAll(/import \* as (\w+) from "\.\.\/wasm\/([\w-]+)\.js";/g, (statement, local, module) => {
          const text = readFileSync(join(WASM, `${module}.js`), "utf8");
          if (isStandIn(text)) return statement;
          glue[module] = text;
          return `const ${local} = joinedGlue();`;
        });
      },
    },
    async code() {
      if (Object.keys(glue).length === 0) return "";
      const input = "joinedGlue";
      const joined = `export default ${await joinGlue(glue)};`;
      const source = { name: "joined", resolveId: (id) => id, load: () => joined };
      const build = await rolldown({ input, plugins: [source] });
      const { output } = await build.generate({ format: "iife", name: input, minify });
      await build.close();
      return output[0].code;
    },
  };
}

/**
 * Leaves out the addresses of files that SQLite's build names and that no worker of ours loads: bundlers would look for them beside our
 * file.
 */
const withoutAddresses = {
  name: "without-addresses",
  transform: {
    filter: { id: /sqlite-wasm[\\/]dist/ },
    handler: (code) =>
      code
        .replaceAll(/new URL\("sqlite3[\w.-]+", import\.meta\.url\)/g, 'new URL("about:blank")')
        // a message, which publint takes for the exports of a CommonJS file
        .replaceAll("WASM module exports", "WASM exports"),
  },
};

/** What entries share is one chunk: two of half the size are a kilobyte larger once they are compressed. */
const SHARED = {
  name: "client",
  minShareCount: 2,
  test: /[\\/]ts[\\/](?!data|exchange|train)|[\\/]protocol[\\/]|comlink/,
};

/** Bundles entries, by the names of their files in dist/; returns the files that it wrote. Several entries share chunks, one has none. */
async function bundle(entries, { node = false, format = "es", extension = ".js" } = {}) {
  const glue = glueInFront(!node);
  const build = await rolldown({
    input: Object.fromEntries(Object.entries(entries).map(([file, entry]) => [file, join(ROOT, entry)])),
    platform: node ? "node" : "browser",
    external: node ? OPTIONAL : [],
    plugins: [glue.plugin, withoutAddresses],
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
    chunkFileNames: `chunks/[name]${extension}`,
    codeSplitting: Object.keys(entries).length > 1 && { groups: [SHARED] },
    // browsers download it; in Node a stack trace that can be read is worth more
    minify: !node,
    postBanner: glue.code,
    comments: { legal: true, jsdoc: false },
  });
  await build.close();
  for (const file of output) checkFile(file, node);
  return output;
}

/** Fails if a file cannot be loaded where users have it. */
function checkFile({ fileName, code, imports, dynamicImports }, node) {
  // bundlers and pages without one load no package from a file for browsers, and nothing from a worker
  const foreign = [...imports, ...dynamicImports].find(
    (name) => fileName.startsWith("workers/") || !name.startsWith("chunks/"),
  );
  if (foreign && !node) throw new Error(`dist/${fileName} imports ${foreign}: browsers cannot`);
  if (fileName.startsWith("chunks/") && /["'`]\.\/workers\//.test(code))
    throw new Error(
      `dist/${fileName} starts a worker by an address as seen from dist/: only one entry may import that code`,
    );
}

/** Bundles what a page or Node imports; returns the names of the files. */
async function page(extension, options = {}) {
  const [encode, training, search] = ["encode", "training", "search"].map((name) => `${name}${extension}`);
  const entries = { [encode]: "ts/encode.ts", [training]: "ts/training.ts", [search]: "ts/search.ts" };
  const files = await bundle(entries, { ...options, extension });
  // no more than names: bundlers leave out the file of names that an app does not import
  const names = files
    .filter(({ isEntry, fileName }) => isEntry && fileName !== search)
    .map(({ fileName, exports }) => `export { ${exports.join(", ")} } from "./${fileName}";\n`);
  const all = `module.exports = { ...require("./${encode}"), ...require("./${training}") };\n`;
  const index = `index${extension}`;
  writeFileSync(join(DIST, index), options.format === "cjs" ? all : names.join(""));
  return [index, ...files.map(({ fileName }) => fileName)];
}

/** Copies the modules that changed. */
function copyModules() {
  mkdirSync(join(DIST, "wasm"), { recursive: true });
  const own = readdirSync(WASM).filter((name) => name.endsWith(".wasm"));
  return [...own.map((name) => [WASM, name]), [SQLITE, "sqlite3.wasm"]].map(([folder, name]) => {
    const [from, to] = [join(folder, name), join(DIST, "wasm", name)];
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
  const pages = Promise.all([
    page(".js"),
    page(".node.js", { node: true }),
    page(".cjs", { node: true, format: "cjs" }),
  ]);
  const worker = async (name, options) =>
    (await bundle({ [`workers/${name}.js`]: `workers/entries/${name}.ts` }, options)).map(({ fileName }) => fileName);
  const workers = Promise.all([
    ...["encode", "train", "images", "thread", "search"].map((name) => worker(name)),
    ...["encode", "train", "images", "search"].map((name) => worker(`${name}.node`, { node: true })),
  ]);
  const written = [...(await pages), ...(await workers)].flat();
  removeOthers(new Set([...written, ...copyModules()]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundleAll();
