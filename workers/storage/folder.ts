/** A flat folder that outlives the worker: OPFS in a browser, a directory in Node. */
export interface Folder {
  /** Bytes of a file; nothing where there is none. */
  size(name: string): Promise<number | undefined>;
  stream(name: string, begin: number, end: number): AsyncIterable<Uint8Array>;
  /** Opens a file at its end, made where it is not there. */
  append(name: string): Promise<FileAppender>;
  readText(name: string): Promise<string | undefined>;
  /** Whole or not at all. */
  writeText(name: string, text: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Removing what is not there does nothing. */
  remove(name: string): Promise<void>;
  list(): Promise<string[]>;
  /** Runs `use` when no other tab or process is running something under this name. */
  exclusively<T>(name: string, use: () => Promise<T>): Promise<T>;
}

/** Where a path leads: a folder, or a file in one, which need not be there. */
export interface ResolvedPath {
  store: Folder;
  file?: string;
}

/** What storing states needs from the platform, a browser or Node. */
export interface StoragePlatform {
  /** Opens a folder that outlives the worker, creating it if needed: on disk, or in the origin's private file system. */
  makeFolder(path: string): Promise<Folder>;
  /** Resolves a path among such files. */
  resolvePath(path: string): Promise<ResolvedPath>;
}

/** A file that grows. */
export interface FileAppender {
  /** Bytes so far. */
  readonly size: number;
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Whether an error says that the disk or the origin's share of it is full. */
export function isDiskFull(error: unknown): boolean {
  const { name, code } = error as { name?: string; code?: string };
  return name === "QuotaExceededError" || code === "ENOSPC" || code === "EDQUOT";
}
