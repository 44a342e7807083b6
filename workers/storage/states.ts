/** States of trainings as files: each written whole or not at all, the last few of a run in a folder. */

import { ClipError, toClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";
import { type Folder, isDiskFull, type StoragePlatform } from "./folder.js";

const STATE = /^(\d{6,})\.clip$/;
const fileOf = (number: number) => `${String(number).padStart(6, "0")}.clip`;

function unwritable(path: string, error: unknown): ClipError {
  const reason = isDiskFull(error) ? "a disk, or this page's share of it, that is full" : toClipError(error).message;
  return new ClipError("target-unwritable", `expected to write ${excerpt(path)}, got: ${excerpt(reason)}`, {
    cause: error,
  });
}

/** A draft takes the place of what was there when its last byte is on the disk. */
async function write(store: Folder, name: string, bytes: Uint8Array): Promise<void> {
  const draft = `${name}.part`;
  try {
    // what a worker left that was killed
    await store.remove(draft);
    const file = await store.append(draft);
    try {
      await file.write(bytes);
    } finally {
      await file.close();
    }
    await store.rename(draft, name);
  } catch (error) {
    await store.remove(draft).catch(() => undefined);
    throw error;
  }
}

/** Numbers of the states in a folder, oldest first. */
async function numbers(store: Folder): Promise<number[]> {
  const names = await store.list();
  return names
    .flatMap((name) => STATE.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

async function readFile(store: Folder, name: string): Promise<Uint8Array> {
  const size = await store.size(name).catch((error) => {
    throw new ClipError("source-unreadable", `expected a file ${excerpt(name)}, got: ${toClipError(error).message}`);
  });
  if (size === undefined) throw new ClipError("source-unreadable", `expected a file ${excerpt(name)}, got none`);
  const bytes = new Uint8Array(size);
  let at = 0;
  for await (const piece of store.stream(name, 0, size)) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** Writes a state to a file. */
export async function writeState(platform: StoragePlatform, path: string, bytes: Uint8Array): Promise<void> {
  try {
    const { store, file } = await platform.resolvePath(path);
    if (file === undefined) throw new Error("a folder");
    await write(store, file, bytes);
  } catch (error) {
    throw unwritable(path, error);
  }
}

/** Adds a state to a folder, made where it is not there, and removes all but the last `keep`. */
export async function keepState(
  platform: StoragePlatform,
  folder: string,
  bytes: Uint8Array,
  keep: number,
): Promise<void> {
  try {
    const store = await platform.makeFolder(folder);
    const kept = await numbers(store);
    const next = (kept.at(-1) ?? 0) + 1;
    for (let written = false; !written; ) {
      try {
        await write(store, fileOf(next), bytes);
        written = true;
      } catch (error) {
        // an older one gives way, the newest never
        if (!isDiskFull(error) || kept.length < 2) throw error;
        await store.remove(fileOf(kept.shift() as number));
      }
    }
    for (const old of kept.slice(0, Math.max(0, kept.length + 1 - keep))) await store.remove(fileOf(old));
  } catch (error) {
    throw unwritable(folder, error);
  }
}

/**
 * Takes up the state in a file, or the newest of a folder's that is whole; says how many newer ones were not.
 *
 * @throws ClipError `source-unreadable` where there is none, and what `take` throws of the newest
 */
export async function takeState<T>(
  platform: StoragePlatform,
  path: string,
  take: (bytes: Uint8Array) => Promise<T> | T,
): Promise<{ taken: T; damaged: number }> {
  const { store, file } = await platform.resolvePath(path).catch((error) => {
    throw new ClipError(
      "source-unreadable",
      `expected a state at ${excerpt(path)}, got: ${excerpt(toClipError(error).message)}`,
    );
  });
  const names = file === undefined ? (await numbers(store)).reverse().map(fileOf) : [file];
  if (names.length === 0) {
    throw new ClipError("source-unreadable", `expected a folder of states at ${excerpt(path)}, got one without`);
  }
  let first: ClipError | undefined;
  for (const [damaged, name] of names.entries()) {
    try {
      return { taken: await take(await readFile(store, name)), damaged };
    } catch (error) {
      const clipError = toClipError(error);
      first ??= clipError;
      if (clipError.code !== "invalid-checkpoint") break;
    }
  }
  throw first as ClipError;
}
