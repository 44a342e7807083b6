/** A CLIP that encodes. */

import type { CachedModel } from "../workers/protocol/load.js";
import type { ClipSource } from "./inputs/sources.js";
import { Encoder } from "./model/encoder.js";
import { LOAD, type LoadOptions, loadInto } from "./model/load.js";
import { check, checkOptions } from "./options/check.js";
import { text } from "./options/rules.js";
import { startEncoder } from "./worker/start-encoder.js";

/** Models kept from earlier downloads: of the page's origin in a browser, of the user in Node. */
export interface ModelCache {
  /** Lists the cached models, the latest first. */
  list(): Promise<CachedModel[]>;
  /**
   * Deletes the models of one address, or all of them; returns how many there were.
   *
   * @throws ClipError `invalid-option`
   */
  delete(url?: string): Promise<number>;
}

/** A CLIP that encodes images and texts. */
export class Clip extends Encoder {
  /** Downloads that are kept for the next time. */
  readonly cache: ModelCache = {
    list: () => this.client.call((api) => api.cachedModels()),
    delete: async (url) => {
      if (url !== undefined) check("url", url, text("the address of a model"));
      return this.client.call((api) => api.deleteCached(url));
    },
  };

  /**
   * Loads a checkpoint into a worker of its own.
   *
   * @throws ClipError `invalid-option`, `invalid-source`, `source-unreadable`, `checksum-mismatch`, `invalid-checkpoint`,
   * `invalid-config`, `missing-tensor`, `extra-tensor`, `shape-mismatch`, `missing-tower`, `invalid-tokenizer`,
   * `device-unavailable`, `out-of-memory`, `aborted`
   *
   * @example
   * const clip = await Clip.load("laion/CLIP-ViT-B-32-laion2B-s34B-b79K");
   * const { data } = await clip.encodeText("a photo of a cat");
   */
  static async load(source: ClipSource, options: LoadOptions = {}): Promise<Clip> {
    const given = checkOptions("Clip.load()", options, LOAD);
    const client = await startEncoder();
    try {
      return new Clip(client, await loadInto(client, source, given));
    } catch (error) {
      // an aborted load disposes its worker by itself, once its files are closed
      if (!given.signal?.aborted) client.dispose();
      throw error;
    }
  }
}
