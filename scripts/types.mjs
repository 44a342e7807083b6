/**
 * Rolls the declarations that tsc wrote to build/types up into dist/index.d.ts, and into dist/index.d.cts for `require`: only what is
 * public, so that users' compilers need no package of ours. By API Extractor, which brings the TypeScript that it uses. The types of
 * `clipwright/encode` are names of these, so that both entries have the same classes. Those of `clipwright/search` are rolled up by
 * themselves: it takes models by their methods, and has no class that another entry has.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Extractor, ExtractorConfig } from "@microsoft/api-extractor";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const DIST = join(ROOT, "dist");
const ENCODE = join(ROOT, "ts", "encode.ts");
/** Of TypeScript's libraries, the types need what `using` needs, which no `target` before `esnext` brings. */
const LIBRARIES = '/// <reference lib="esnext.disposable" />\n';

/** Types of the platform that the declarations name. A consumer has those of the DOM, of Node, or neither. */
const PLATFORM = [
  "AbortSignal",
  "Blob",
  "File",
  "FileSystemDirectoryHandle",
  "FileSystemFileHandle",
  "HTMLCanvasElement",
  "HTMLImageElement",
  "HTMLVideoElement",
  "ImageBitmap",
  "ImageData",
  "OffscreenCanvas",
  "ReadableStream",
  "Response",
  "URL",
  "VideoFrame",
];

/**
 * Types of this file alone that stand for the platform's: `never` where the consumer has none, so that nothing is missing and nothing
 * global is declared.
 */
function platformTypes(declarations) {
  const named = PLATFORM.filter((name) => new RegExp(`\\b${name}\\b`).test(declarations));
  return named.map((name) => {
    const parameters = name === "ReadableStream" ? "<_T = unknown>" : "";
    return `type ${name}${parameters} = typeof globalThis extends { ${name}: { prototype: infer T } } ? T : never;\n`;
  });
}

/** Exports of `clipwright/encode`: names of types, and of values. */
function encodeExports() {
  const statements = [...readFileSync(ENCODE, "utf8").matchAll(/^export (type )?\{([^}]+)\}/gm)];
  const names = (wanted) =>
    statements.filter(([, type]) => Boolean(type) === wanted).flatMap(([, , list]) => list.match(/\w+/g));
  return { types: names(true), values: names(false) };
}

/** The types of `clipwright/encode`, which lie beside those of all. */
const ENCODE_TYPES = {
  "d.ts": ({ types, values }) =>
    `export type { ${types.join(", ")} } from "./index.js";\nexport { ${values.join(", ")} } from "./index.js";\n`,
  // without `export … from`: Turbopack reads the files of a server's package as scripts, and refuses it in a file for `require`
  "d.cts": ({ types, values }, declarations) =>
    [
      `export type { ${types.join(", ")} } from "./index.cjs";`,
      ...values.map((name) => `export declare const ${name}: typeof import("./index.cjs").${name};`),
      ...values
        .filter((name) => declarations.includes(`class ${name} `))
        .map((name) => `export type ${name} = import("./index.cjs").${name};`),
      "",
    ].join("\n"),
};

const silent = { default: { logLevel: "none" } };

/** Rolls the declarations of an entry up, into a file of dist/; returns them. */
function roll(name) {
  const entry = join(ROOT, "build", "types", "ts", `${name}.d.ts`);
  const rolled = join(DIST, `${name}.d.ts`);
  const { compilerOptions } = JSON.parse(readFileSync(join(ROOT, "ts", "tsconfig.json"), "utf8"));
  const options = { ...compilerOptions, module: "NodeNext", target: "ES2022", strict: true, skipLibCheck: true };
  const config = ExtractorConfig.prepare({
    configObject: {
      projectFolder: ROOT,
      mainEntryPointFilePath: entry,
      compiler: { overrideTsconfig: { compilerOptions: options, files: [entry] } },
      apiReport: { enabled: false },
      docModel: { enabled: false },
      tsdocMetadata: { enabled: false },
      dtsRollup: { enabled: true, untrimmedFilePath: "", publicTrimmedFilePath: rolled },
      // `npm run docs` reports what is undocumented or not exported
      messages: { extractorMessageReporting: silent, tsdocMessageReporting: silent },
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: join(ROOT, "package.json"),
  });
  const { succeeded } = Extractor.invoke(config, {
    localBuild: true,
    messageCallback(message) {
      // which TypeScript it uses
      if (message.logLevel === "info") message.logLevel = "none";
    },
  });
  if (!succeeded) throw new Error("the declarations could not be rolled up: the message is above");
  const declarations = readFileSync(rolled, "utf8");
  const foreign = /(?:from |import\()"([^"]+)"/.exec(declarations);
  if (foreign)
    throw new Error(`dist/${name}.d.ts imports ${foreign[1]}, which users may not have: mark what needs it @internal`);
  const all = [LIBRARIES, ...platformTypes(declarations), declarations].join("");
  for (const extension of ["d.ts", "d.cts"]) writeFileSync(join(DIST, `${name}.${extension}`), all);
  return declarations;
}

/** Rolls all declarations up. */
export function rollTypes() {
  const declarations = roll("index");
  const exports = encodeExports();
  for (const [extension, encodeTypes] of Object.entries(ENCODE_TYPES))
    writeFileSync(join(DIST, `encode.${extension}`), encodeTypes(exports, declarations));
  roll("search");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) rollTypes();
