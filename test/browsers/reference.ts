/** Encodes in Node what browsers will encode. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";
import { checkpoint, embeddings } from "./use-model";

declare module "vitest" {
  export interface ProvidedContext {
    /** Node's embeddings. */
    node: Awaited<ReturnType<typeof embeddings>>;
  }
}

const root = new URL("../../", import.meta.url);

async function read(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await readFile(fileURLToPath(new URL(path, root))));
}

export default async function setup({ provide }: TestProject) {
  const { Clip } = await import("clipwright");
  const clip = await Clip.load(await checkpoint(read), { device: "cpu" });
  provide("node", await embeddings(clip, read));
  clip.dispose();
}
