/** The packed tarball in the projects of `rows.mjs`, built and run as their users would. */

import { join } from "node:path";
import { command, makeProject, pack, replaceIn, startServer, temporaryFolder } from "./project.mjs";
import { PROJECTS } from "./rows.mjs";
import { answerIn, deployed, downloads, launch, serveFolder, visit, visitExtension } from "./visit.mjs";

/** Largest difference between embeddings of two engines. */
const TOLERANCE = 3e-7;

/** The worker that trains, and its modules. */
const TRAINS = /\btrain[-.]/;

/** Largest difference to what Node computes; throws above the tolerance. */
function compare(answer, reference) {
  if (answer.label !== reference.label) throw new Error(`says ${answer.label}, Node ${reference.label}`);
  const difference = Math.max(...answer.embedding.map((value, i) => Math.abs(value - reference.embedding[i])));
  // negated: NaN must not pass
  if (answer.embedding.length !== reference.embedding.length || !(difference <= TOLERANCE))
    throw new Error(`embedding differs from Node's by ${difference}`);
  return difference;
}

/** Serves the packages and the model from another origin while `work` runs; a row names it by an address of the real one. */
async function withElsewhere({ elsewhere }, folder, work) {
  if (!elsewhere) return work(new Map());
  const server = await serveFolder(join(folder, "node_modules"));
  replaceIn(folder, elsewhere, server.origin);
  try {
    return await work(server.fetched);
  } finally {
    replaceIn(folder, server.origin, elsewhere);
    server.stop();
  }
}

/** Serves a folder to a page; measures what is deployed and fetched. */
async function visitFolder(row, folder, browser, fetchedElsewhere) {
  const server = await serveFolder(join(folder, row.serve), row);
  try {
    const answer = await visit(browser, `${server.origin}/`);
    const fetched = new Map([...server.fetched, ...fetchedElsewhere]);
    const names = [...fetched.keys()].join(" ");
    if (row.fetches && !row.fetches.test(names)) throw new Error(`fetches no ${row.fetches}: ${names}`);
    if (TRAINS.test(names)) throw new Error(`encodes, and fetches what trains: ${names}`);
    if (row.serve === ".") return { answer, ...downloads(fetched) };
    const files = deployed(join(folder, row.serve));
    const trains = [...files.keys()].filter((name) => TRAINS.test(name)).join(" ");
    if (trains && !row.deploysAll) throw new Error(`encodes, and deploys what trains: ${trains}`);
    const bytes = [...files.values()].reduce((sum, size) => sum + size, 0);
    return { answer, deployed: bytes, ...downloads(fetched) };
  } finally {
    server.stop();
  }
}

async function runRow(row, folder, browser) {
  for (const step of row.steps ?? []) await command(step, folder);
  if (row.run) {
    const output = await command(row.run, folder);
    const answer = answerIn(output);
    if (!answer) throw new Error(`no label in the output\n${output}`);
    return { answer };
  }
  if (row.serve) {
    const opened = await browser();
    return withElsewhere(row, folder, (fetched) => visitFolder(row, folder, opened, fetched));
  }
  if (row.extension) {
    const answer = await withElsewhere(row, folder, () => visitExtension(folder, row.extension, row.panel));
    return { answer };
  }
  if (row.start) {
    const server = await startServer(row.start, folder);
    try {
      return { answer: await visit(await browser(), `${server.origin}${row.path ?? "/"}`) };
    } catch (error) {
      throw new Error(`${error.message}\n${server.output()}`);
    } finally {
      await server.stop();
    }
  }
  return {};
}

/** Does `work` with each item, `atOnce` at a time. */
async function each(items, atOnce, work) {
  const queue = [...items];
  const next = async () => {
    for (let item = queue.shift(); item; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, next));
}

/**
 * Runs rows by the names of rows or projects, or all. Returns one result a row, with `error` where it failed; `report` is called with
 * each. `tarball` is the package, which is packed otherwise.
 *
 * @param {string[]} [names]
 * @param {{ atOnce?: number, tarball?: string, report?: (result: object) => void }} [options]
 */
export async function runRows(names, { atOnce = 2, report = () => {}, tarball: given } = {}) {
  const temporary = temporaryFolder("packed");
  let launched;
  const browser = () => (launched ??= launch());
  const results = [];
  try {
    const tarball = given ?? (await pack(temporary.folder));
    const projects = PROJECTS.map((project) => ({
      ...project,
      rows: project.rows.filter(({ name }) => !names || names.includes(name) || names.includes(project.name)),
    })).filter(({ rows }) => rows.length > 0);
    const node = await makeProject({ ...PROJECTS.find(({ name }) => name === "node"), install: {} }, tarball);
    const reference = answerIn(await command("node main.js", node.folder).finally(node.remove));
    await each(projects, atOnce, async (project) => {
      let made;
      for (const row of project.rows) {
        const begin = Date.now();
        const result = { row, project };
        try {
          // its time is the first row's
          made ??= await makeProject(project, tarball);
          const { answer, ...rest } = await runRow(row, made.folder, browser);
          Object.assign(result, rest, answer && { difference: compare(answer, reference) });
        } catch (error) {
          result.error = error.message;
        }
        result.seconds = (Date.now() - begin) / 1000;
        results.push(result);
        report(result);
      }
      made?.remove();
    });
    return results;
  } finally {
    await (await launched)?.close();
    temporary.remove();
  }
}
