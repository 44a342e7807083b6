import { encodePath } from "../../protocol/address.js";
import type { HttpClient } from "./http-client.js";
import { readBody } from "./read-body.js";

/** Bytes of the longest list that is read. */
const MAX_LIST_BYTES = 16 << 20;

/** SHA-256 of files as the Hub lists them, fetched once a folder. */
export class HubSums {
  readonly #client: HttpClient;
  readonly #url: string;
  readonly #folders = new Map<string, Promise<Map<string, string>>>();

  /** `url` is the Hub's list of the repository's files. */
  constructor(client: HttpClient, url: string) {
    this.#client = client;
    this.#url = url;
  }

  /** Returns a file's sum in hexadecimal; `undefined` if the Hub lists none. */
  async get(name: string): Promise<string | undefined> {
    const folder = name.slice(0, Math.max(0, name.lastIndexOf("/")));
    const sums = this.#folders.get(folder) ?? this.#fetch(folder);
    this.#folders.set(folder, sums);
    return (await sums).get(name);
  }

  async #fetch(folder: string): Promise<Map<string, string>> {
    try {
      const response = await this.#client.fetch(folder === "" ? this.#url : `${this.#url}/${encodePath(folder)}`);
      const list = JSON.parse(new TextDecoder().decode(await readBody(response, MAX_LIST_BYTES))) as {
        path: string;
        lfs?: { oid?: string };
      }[];
      return new Map(list.flatMap(({ path, lfs }) => (lfs?.oid ? [[path, lfs.oid] as const] : [])));
    } catch {
      // a mirror without a list: the sum is then computed, but not compared
      this.#client.throwIfAborted();
      return new Map();
    }
  }
}
