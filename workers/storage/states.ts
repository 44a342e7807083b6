/** Training states as files: written atomically, the last few of a run in one folder. */

import { ClipError, toClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";
import { type Folder, isDiskFull, type StoragePlatform } from "./folder.js";

const STATE = /^(\d{6,})\.clip$/;
const nameOf = (number: number) => `${String(number).padStart(6, "0")}.clip`;

function unwritable(path: string, error: unknown): ClipError {
  const reason = isDiskFull(error) ? "the disk, or this page's share of it, is full" : toClipError(error).message;
  return new ClipError("target-unwritable", `cannot write ${excerpt(path)}: ${excerpt(reason)}`, { cause: error });
}

/** Writes a file under another name, and renames it when all bytes are on the disk. */
async function write(folder: Folder, name: string, bytes: Uint8Array): Promise<void> {
  const draft = `${name}.part`;
  try {
    // a worker that was killed may have left one
    await folder.remove(draft);
    const file = await folder.append(draft);
    try {
      await file.write(bytes);
    } finally {
      await file.close();
    }
    await folder.rename(draft, name);
  } catch (error) {
    await folder.remove(draft).catch(() => undefined);
    throw error;
  }
}

/** Returns the numbers of the states in a folder, oldest first. */
async function numbersOf(folder: Folder): Promise<number[]> {
  const names = await folder.list();
  return names
    .flatMap((name) => STATE.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

async function readFile(folder: Folder, name: string): Promise<Uint8Array> {
  const unreadable = (reason: string) =>
    new ClipError("source-unreadable", `cannot read the file ${excerpt(name)}: ${reason}`);
  const size = await folder.size(name).catch((error) => {
    throw unreadable(toClipError(error).message);
  });
  if (size === undefined) throw unreadable("it does not exist");
  const bytes = new Uint8Array(size);
  let at = 0;
  for await (const piece of folder.stream(name, 0, size)) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/**
 * Writes a state to a file.
 *
 * @throws ClipError `target-unwritable`
 */
export async function writeState(platform: StoragePlatform, path: string, bytes: Uint8Array): Promise<void> {
  try {
    const { folder, file } = await platform.resolvePath(path);
    if (file === undefined) throw new Error("it is a folder");
    await write(folder, file, bytes);
  } catch (error) {
    throw unwritable(path, error);
  }
}

/**
 * Adds a state to a folder, creating it if needed, and removes all but the last `keep`.
 *
 * @throws ClipError `target-unwritable`
 */
export async function keepState(
  platform: StoragePlatform,
  path: string,
  bytes: Uint8Array,
  keep: number,
): Promise<void> {
  try {
    const folder = await platform.makeFolder(path);
    const kept = await numbersOf(folder);
    const next = (kept.at(-1) ?? 0) + 1;
    for (let isWritten = false; !isWritten; ) {
      try {
        await write(folder, nameOf(next), bytes);
        isWritten = true;
      } catch (error) {
        // a full disk: remove the oldest state and try again, but never the newest
        if (!isDiskFull(error) || kept.length < 2) throw error;
        await folder.remove(nameOf(kept.shift() as number));
      }
    }
    for (const old of kept.slice(0, Math.max(0, kept.length + 1 - keep))) await folder.remove(nameOf(old));
  } catch (error) {
    throw unwritable(path, error);
  }
}

/**
 * Restores the state in a file, or the newest undamaged one in a folder; returns it with the number of newer, damaged ones.
 *
 * @throws ClipError `source-unreadable` if there is no state, and what `restore` throws for the newest
 */
export async function restoreState<T>(
  platform: StoragePlatform,
  path: string,
  restore: (bytes: Uint8Array) => Promise<T> | T,
): Promise<{ restored: T; damaged: number }> {
  const { folder, file } = await platform.resolvePath(path).catch((error) => {
    const reason = excerpt(toClipError(error).message);
    throw new ClipError("source-unreadable", `cannot read the state ${excerpt(path)}: ${reason}`);
  });
  const names = file === undefined ? (await numbersOf(folder)).reverse().map(nameOf) : [file];
  if (names.length === 0) throw new ClipError("source-unreadable", `the folder ${excerpt(path)} has no states`);
  let first: ClipError | undefined;
  for (const [damaged, name] of names.entries()) {
    try {
      return { restored: await restore(await readFile(folder, name)), damaged };
    } catch (error) {
      const clipError = toClipError(error);
      first ??= clipError;
      if (clipError.code !== "invalid-checkpoint") break;
    }
  }
  throw first as ClipError;
}
