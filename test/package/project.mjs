/** Temporary projects that install the packed tarball. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PROJECTS = join(ROOT, "test", "package", "projects");
const FIXTURES = join(ROOT, "test", "fixtures");

/** What every row loads and labels, by the names that projects use. */
export const DATA = {
  model: join(FIXTURES, "models", "clip-quickgelu-p8", "hf"),
  "photo.jpg": join(FIXTURES, "preprocess", "images", "scene_640x427.jpg"),
};

/** Time for one command: builds of frameworks on two busy cores. */
const LIMIT_MS = 300_000;

/** A temporary folder; `remove` takes it away again. */
export function temporaryFolder(name) {
  // macOS's temporary folder is a link, which bundlers resolve and then take for another folder
  const folder = realpathSync(mkdtempSync(join(tmpdir(), `clipwright-${name}-`)));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) };
}

/** Starts a shell command in a project, with its binaries in the PATH, as npm scripts have them. */
function start(command, folder, env = {}) {
  const child = spawn("sh", ["-c", command], {
    cwd: folder,
    // a group of its own, so that `stop` ends the command's children, too
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      PATH: [join(folder, "node_modules", ".bin"), process.env.PATH].join(delimiter),
      // tools ask and report otherwise
      CI: "1",
      NO_COLOR: "1",
      NEXT_TELEMETRY_DISABLED: "1",
      ASTRO_TELEMETRY_DISABLED: "1",
      // vitest's own, where it runs these rows
      NODE_ENV: undefined,
      VITEST: undefined,
      NODE_OPTIONS: undefined,
      ...env,
    },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
  }
  const ended = once(child, "close").then(([status]) => status);
  return {
    ended,
    output: () => output,
    async stop() {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // it has ended by itself
      }
      await ended;
    },
  };
}

/** Runs a command; returns its output, or throws with it. */
export async function command(line, folder, env) {
  const { ended, output, stop } = start(line, folder, env);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    stop();
  }, LIMIT_MS);
  const status = await ended;
  clearTimeout(timer);
  // what went wrong stands at the end
  if (status !== 0) throw new Error(`${line}: ${late ? "ran too long" : `status ${status}`}\n${output().slice(-4000)}`);
  return output();
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

/** Starts a project's own server and waits until it answers. */
export async function startServer(line, folder) {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const server = start(line, folder, { PORT: String(port), HOST: "127.0.0.1", HOSTNAME: "127.0.0.1" });
  let ended = false;
  server.ended.then(() => {
    ended = true;
  });
  for (const begin = Date.now(); !ended && Date.now() - begin < LIMIT_MS; ) {
    const answers = await fetch(origin).then(
      () => true,
      () => false,
    );
    if (answers) return { origin, stop: server.stop, output: server.output };
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await server.stop();
  throw new Error(`${line}: no answer\n${server.output()}`);
}

/** Packs the built package; the modules stay as they are, for `prepack` would build releases. */
export async function pack(folder) {
  await command(`npm pack --ignore-scripts --silent --pack-destination "${folder}"`, ROOT);
  return join(folder, readdirSync(folder).find((name) => name.endsWith(".tgz")) ?? "");
}

/** Makes a project's folder: its files, the model, the photo, and what it installs. */
export async function makeProject({ name, files, public: served, install, replace = {} }, tarball) {
  const { folder, remove } = temporaryFolder(name);
  try {
    for (const layer of files) cpSync(join(PROJECTS, layer), folder, { recursive: true });
    for (const [from, to] of Object.entries(replace)) replaceIn(folder, from, to);
    if (served !== undefined) {
      for (const [to, from] of Object.entries(DATA)) cpSync(from, join(folder, served, to), { recursive: true });
    }
    const dependencies = { clipwright: `file:${tarball}`, ...install };
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name, private: true, type: "module", dependencies }));
    // what was downloaded once comes from npm's cache
    await command("npm install --prefer-offline --no-audit --no-fund --no-package-lock --loglevel=error", folder);
    return { folder, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/** Writes another text in place of `from` into a project's own scripts and pages. */
export function replaceIn(folder, from, to) {
  for (const name of readdirSync(folder)) {
    if (!/\.(c?js|html)$/.test(name)) continue;
    const file = join(folder, name);
    writeFileSync(file, readFileSync(file, "utf8").replaceAll(from, to));
  }
}
