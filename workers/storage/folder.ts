/** A flat folder that outlives the worker: a directory in Node, a folder of the origin's private file system in a browser. */
export interface Folder {
  /** Size of a file in bytes; `undefined` if it does not exist. */
  size(name: string): Promise<number | undefined>;
  /** Reads the bytes `[begin, end)` of a file. */
  stream(name: string, begin: number, end: number): AsyncIterable<Uint8Array>;
  /** Opens a file at its end, creating it if needed. */
  append(name: string): Promise<FileAppender>;
  /** Reads a file as UTF-8; `undefined` if it does not exist. */
  readText(name: string): Promise<string | undefined>;
  /** Replaces a file atomically. */
  writeText(name: string, text: string): Promise<void>;
  /** Renames a file, replacing one of that name. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file; does nothing if it does not exist. */
  remove(name: string): Promise<void>;
  /** Lists the names of all files. */
  list(): Promise<string[]>;
  /** Runs `use` while no other tab or process runs anything under the same name. */
  exclusively<T>(name: string, use: () => Promise<T>): Promise<T>;
}

/** What a path leads to: a folder, or a file in one, which may not exist yet. */
export interface ResolvedPath {
  folder: Folder;
  /** Name of the file; `undefined` if the path is the folder's. */
  file?: string;
}

/** What storing states needs from the platform, a browser or Node. */
export interface StoragePlatform {
  /** Opens a folder that outlives the worker, creating it if needed. */
  makeFolder(path: string): Promise<Folder>;
  /** Resolves a path to such a folder or a file in it. */
  resolvePath(path: string): Promise<ResolvedPath>;
}

/** A file that is appended to. */
export interface FileAppender {
  /** Bytes so far. */
  readonly size: number;
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Whether an error says that the disk, or the origin's quota, is full. */
export function isDiskFull(error: unknown): boolean {
  const { name, code } = error as { name?: string; code?: string };
  return name === "QuotaExceededError" || code === "ENOSPC" || code === "EDQUOT";
}
