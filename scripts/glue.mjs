/**
 * Joins the glue that wasm-bindgen wrote for several modules: what they have in common is there once, and a module takes what it
 * imports. A worker has the glue of all the modules that it may load, and uses one: docs/decisions/0038.
 */

/** Function of the glue that returns what its module imports. */
const IMPORTS = "__wbg_get_imports";

/** Function of the glue that forgets the views of an earlier instance's memory: of those that it has. */
const RESET = "__wbg_finalize_init";

/** The glue of two modules does not agree. */
class GlueConflict extends Error {
  constructor(name, modules) {
    super(`the glue of ${modules.join(" and of ")} does not agree on ${name}: run npm run build`);
    this.modules = modules;
  }
}

/** How the glue makes an instance of a module, in any of the ways that it ever had. */
const STARTS = ["initSync", "__wbg_init_promise", "__wbg_init", "__wbg_init_once"];
/** How workers do: once, or again where it failed. */
const START = `let instantiated;
const instantiate = async ({ module_or_path, memory }) => {
  const source = await (module_or_path instanceof URL ? fetch(module_or_path) : module_or_path);
  const { instance, module } = await __wbg_load(source, ${IMPORTS}(memory));
  return ${RESET}(instance, module);
};
const init = (options) =>
  (instantiated ??= instantiate(options).catch((error) => { instantiated = undefined; throw error; }));`;

/** Function of the glue that describes a value for Rust's `{:?}`, with the contents of objects. Ours come from WebGPU's errors. */
const DESCRIBE = "debugString";
const SHORT_DESCRIBE = `function ${DESCRIBE}(value) { try { return String(value); } catch { return typeof value; } }`;

const withoutComments = (code) => code.replaceAll(/^\s*\/\/.*\n/gm, "").replaceAll(/\/\*\*.*?\*\//gs, "");

/** Takes the glue of one module apart. */
function parse(module, code, parseAst) {
  const text = ({ start, end }) => withoutComments(code.slice(start, end));
  const glue = { module, declarations: new Map(), imports: new Map(), from: "", classes: [] };
  for (const statement of parseAst(code).body) {
    const exported = statement.type === "ExportNamedDeclaration";
    const node = exported ? statement.declaration : statement;
    // the list of exports at the end
    if (!node) continue;
    if (node.id?.name === IMPORTS) {
      const [table, answer] = node.body.body;
      for (const property of table.declarations[0].init.properties)
        glue.imports.set(text(property.key), text(property));
      glue.from = text(answer.argument.properties.at(-1).key);
      continue;
    }
    // workers call `free`
    if (node.type === "IfStatement" && text(node.test) === "Symbol.dispose") continue;
    // a statement belongs to the variable before it that it is about
    const subject = () =>
      text(node)
        .match(/\w+/g)
        .find((word) => glue.declarations.has(word));
    const name = node.id?.name ?? node.declarations?.[0].id.name ?? `about ${subject()}`;
    if (STARTS.includes(name)) continue;
    const own = name === DESCRIBE ? SHORT_DESCRIBE : text(node);
    glue.declarations.set(name, { text: own, isClass: node.type === "ClassDeclaration" });
    if (exported) glue.classes.push(name);
  }
  return glue;
}

/** The memory that threads share, of the larger of two declared sizes. */
const larger = (a, b) => {
  const pages = (text) => Number(/initial:(\d+)/.exec(text)[1]);
  return pages(a) < pages(b) ? b : a;
};

/**
 * Returns an expression for a function that makes an instance of the glue, for any of the modules; `code` by their names. A module that
 * shares its memory has other helpers, which serve the others as well.
 */
export async function joinGlue(code) {
  // a build may have just installed it
  const { parseAst } = await import("rolldown/parseAst");
  const parts = Object.entries(code).map(([module, text]) => parse(module, text, parseAst));
  const [threaded, single] = [true, false].map((shares) =>
    parts.filter(({ imports }) => imports.has("memory") === shares),
  );
  const declarations = new Map();
  const imports = new Map();
  for (const { module, declarations: own, imports: taken } of [...threaded, ...single]) {
    const isSingle = !taken.has("memory");
    for (const [name, { text, isClass }] of own) {
      const before = declarations.get(name);
      if (!before) declarations.set(name, { text, module, isSingle });
      else if (name === RESET) before.text = before.text.length < text.length ? text : before.text;
      else if (before.text !== text && (isClass || before.isSingle === isSingle))
        throw new GlueConflict(name, [before.module, module]);
    }
    for (const [name, text] of taken) {
      const before = imports.get(name);
      if (!before) imports.set(name, { text, module });
      else if (name === "memory") before.text = larger(before.text, text);
      else if (before.text !== text) throw new GlueConflict(`the import ${name}`, [before.module, module]);
    }
  }
  // the memory is made for a module that imports it
  const memory = imports.get("memory");
  if (memory) memory.text = `get memory() { return ${memory.text.slice("memory: ".length)}; }`;
  const texts = (map) => [...map.values()].map(({ text }) => text);
  const classes = new Set(parts.flatMap((part) => part.classes));
  return `() => {
${texts(declarations).join("\n")}
function ${IMPORTS}(memory) {
  const imports = { ${texts(imports).join(",\n")} };
  return { __proto__: null, ${parts.map(({ from }) => `${from}: imports`).join(", ")} };
}
${START}
return { ${[...classes].join(", ")}, default: init };
}`;
}

/** Why the glue of modules cannot be joined: `modules` names two that were built from different sources. */
export async function conflictOf(code) {
  try {
    await joinGlue(code);
    return undefined;
  } catch (error) {
    if (error instanceof GlueConflict) return error;
    throw error;
  }
}

const STAND_IN = "export default () => { throw new Error(";

/** Glue for a module that is not built. */
export const standInFor = (module) =>
  `${STAND_IN}${JSON.stringify(`the Wasm module ${module} is not built: run npm run build`)}); };\n`;

export const isStandIn = (code) => code.startsWith(STAND_IN);
