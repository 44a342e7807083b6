/** SQLite's own Wasm build, which lies in the package beside our modules. */

import sqlite3InitModule, { type Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { loadPackaged, packagedUrl } from "./packaged-file.js";

const url = () => packagedUrl("wasmUrl", "sqlite3.wasm", () => new URL("../wasm/sqlite3.wasm", import.meta.url));

/** Its type leaves out Emscripten's options. */
const init = sqlite3InitModule as (options: { locateFile(): string }) => Promise<Sqlite3Static>;

let loaded: Promise<Sqlite3Static> | undefined;

/** Instantiates SQLite, once a worker. */
export function loadSqlite(): Promise<Sqlite3Static> {
  // its other file systems would each start a worker of their own, or keep databases in localStorage
  Object.assign(globalThis, { sqlite3ApiConfig: { disable: { vfs: { kvvfs: true, opfs: true, "opfs-wl": true } } } });
  loaded ??= loadPackaged("module sqlite3", () => init({ locateFile: () => url().href }));
  return loaded;
}
