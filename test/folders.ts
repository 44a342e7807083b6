/** Folders in the forms that users have: on disk, as a handle, as picked files. */

import type { Folder, ImageTextPair } from "clipwright";
import { hasPrivateFiles, inBrowser, writePrivateFile } from "./support";

/** Contents of a folder by path. */
export type Contents = Record<string, string | Uint8Array<ArrayBuffer>>;

/** Forms of a folder: in Node its path; in a browser picked files and a handle. */
export const kinds = (["path", "files", "handle"] as const).filter(
  (kind) => kind === "files" || (kind === "handle" ? hasPrivateFiles : !inBrowser),
);

/** Makes a folder on disk, in Node. */
export async function onDisk(contents: Contents): Promise<string> {
  const { mkdtemp, mkdir, writeFile } = await import("node:fs/promises");
  const { tmpdir } = await import("node:os");
  const { dirname, join } = await import("node:path");
  const folder = await mkdtemp(join(tmpdir(), "clipwright-folder-"));
  for (const [path, content] of Object.entries(contents)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

async function inPrivateFiles(contents: Contents): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle(`folder-${crypto.randomUUID()}`, { create: true });
  for (const [path, content] of Object.entries(contents)) {
    const parts = path.split("/");
    let at = folder;
    for (const part of parts.slice(0, -1)) at = await at.getDirectoryHandle(part, { create: true });
    await writePrivateFile(await at.getFileHandle(parts.at(-1) as string, { create: true }), content);
  }
  return folder;
}

function picked(contents: Contents): File[] {
  return Object.entries(contents).map(([path, content]) => {
    const file = new File([content], path.slice(path.lastIndexOf("/") + 1));
    return Object.defineProperty(file, "webkitRelativePath", { value: `photos/${path}` });
  });
}

/** Makes a folder of the given form. */
export function open(kind: (typeof kinds)[number] | "handle" | "path", contents: Contents): Folder | Promise<Folder> {
  if (kind === "files") return picked(contents);
  return kind === "path" ? onDisk(contents) : inPrivateFiles(contents);
}

/** Returns all pairs of a reader. */
export async function all(pairs: AsyncIterable<ImageTextPair>): Promise<ImageTextPair[]> {
  const out = [];
  for await (const pair of pairs) out.push(pair);
  return out;
}

/** Returns keys with captions, or with errors. */
export const brief = (pairs: ImageTextPair[]) =>
  pairs.map(({ key, text, moreTexts, error }) => (error ? [key, error.message] : [key, text, ...(moreTexts ?? [])]));
