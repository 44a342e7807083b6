/** Helpers of the tests in both runtimes: files, golden tensors, tolerances. */

import { type ClipConfig, type ClipError, type DeviceChoice, isClipError } from "clipwright";
import type { GoldenTensor } from "./safetensors.mjs";

export { parseSafetensors, renameTensors } from "./safetensors.mjs";

export const inBrowser = typeof window !== "undefined";

/** Returns the error of a call that must fail. */
export async function failure(promise: Promise<unknown> | (() => Promise<unknown>)): Promise<ClipError> {
  try {
    await (typeof promise === "function" ? promise() : promise);
  } catch (error) {
    if (isClipError(error)) return error;
    throw error;
  }
  throw new Error("expected an error, got none");
}

/** Random numbers from 0 to 1, the same ones for a seed. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** GPUs sum in another order: the fixtures' READMEs allow ten times the CPU's tolerance. */
export const slack = (device: DeviceChoice) => (device === "webgpu" ? 10 : 1);

/** Returns what a worker posts, and terminates it. */
export async function answerOf(worker: Worker): Promise<unknown> {
  const answer = await new Promise((resolve, reject) => {
    worker.addEventListener("message", ({ data }) => resolve(data));
    worker.addEventListener("error", ({ message }) => reject(new Error(message)));
  });
  worker.terminate();
  return answer;
}

/** Reads a file of the repository. */
export async function read(path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (inBrowser) {
    const response = await fetch(`/${path}`);
    if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  }
  const { readFile } = await import("node:fs/promises");
  return new Uint8Array(await readFile(new URL(`../${path}`, import.meta.url)));
}

/** Whether pages can write the origin's private files; WebKitGTK has none. */
export const hasPrivateFiles = inBrowser && "storage" in navigator;

/** Writes a file of the origin's private files. */
export async function writePrivateFile(file: FileSystemFileHandle, content: BlobPart): Promise<void> {
  const writable = await file.createWritable();
  await writable.write(new Blob([content]));
  await writable.close();
}

export const fixture = (path: string) => read(`test/fixtures/${path}`);
export const text = async (path: string) => new TextDecoder().decode(await fixture(path));
export const json = async (path: string) => JSON.parse(await text(path));

/** Returns a tensor; throws without it. */
export function get(tensors: Map<string, GoldenTensor>, name: string): GoldenTensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`no tensor ${name}`);
  return tensor;
}

export function maxError(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (got.length !== expected.length) throw new Error(`${got.length} values, expected ${expected.length}`);
  let max = 0;
  for (let i = 0; i < got.length; i++) {
    const error = Math.abs((got[i] as number) - (expected[i] as number));
    if (!(error <= max)) max = error;
  }
  return max;
}

/** Whether two files are equal; a failing `toEqual` would print them. */
export function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a !== undefined && b !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** A tiny CLIP that trains quickly. */
export const tinyConfig = {
  embedDim: 16,
  vision: { imageSize: 16, patchSize: 8, width: 16, layers: 1, heads: 2 },
  text: { contextLength: 8, width: 16, layers: 1, heads: 2 },
} satisfies ClipConfig;

/** Raw images of one colour each, with captions that name it. */
export function colourPairs(count: number) {
  const names = ["red", "green", "blue", "white", "black", "grey", "pink", "brown"];
  return Array.from({ length: count }, (_, i) => {
    const data = new Uint8Array(16 * 16 * 3).map((_, j) => (37 * (i + 1) * ((j % 3) + 1)) % 256);
    return {
      image: { data, width: 16, height: 16 },
      text: `${names[i % names.length]} ${Math.floor(i / names.length)}`,
    };
  });
}

/** The server of `model-server.mjs`: a new one in Node, Vite's in the browser. The cache is empty. */
export async function startModelServer(): Promise<{ base: string; stop(): Promise<void> }> {
  if (inBrowser) return { base: `${location.origin}/__models/`, stop: async () => undefined };
  const { createServer } = await import("node:http");
  const { mkdtemp, rm } = await import("node:fs/promises");
  const { tmpdir } = await import("node:os");
  const { join } = await import("node:path");
  const { modelServer } = await import("./model-server.mjs");
  const folder = await mkdtemp(join(tmpdir(), "clipwright-cache-"));
  process.env.XDG_CACHE_HOME = folder;
  const server = createServer((request, response) => modelServer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  return {
    base: `http://127.0.0.1:${port}/__models/`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true, force: true });
    },
  };
}
