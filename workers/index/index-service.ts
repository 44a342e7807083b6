/** Answers the calls of an index's worker: its store, and its vectors in memory. */

import { transfer } from "comlink";
import { setAddresses } from "../protocol/addresses.js";
import { ClipError, toClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";
import type { IndexWorkerApi, WireItem, WireMatch } from "../protocol/index-api.js";
import { CallQueue } from "../runtime/call-queue.js";
import { checkEngine } from "../runtime/engine.js";
import { loadIndexWasm } from "../runtime/index-wasm.js";
import type { WasmBinary } from "../runtime/wasm.js";
import type { StoreState, Stores, VectorStore } from "../stores/store.js";
import { Jobs } from "./jobs.js";
import { VectorsInMemory } from "./vectors-in-memory.js";

/** What an index needs from the platform, a browser or Node. */
export interface IndexPlatform {
  /** Bytes of the module `index`, or its URL. */
  module(): Promise<WasmBinary>;
  stores: Stores;
}

/** An index that is open. */
interface Open {
  store: VectorStore;
  memory: VectorsInMemory;
}

/** Converts vectors; the error of one names its item. */
function encode(memory: VectorsInMemory, vectors: Float32Array, ids: readonly string[]) {
  try {
    return memory.encode(vectors);
  } catch (error) {
    const { code, message } = toClipError(error);
    const [, row, reason] = /^vector (\d+) (.*)$/s.exec(message) ?? [];
    throw new ClipError(
      code,
      row === undefined ? message : `the vector of ${excerpt(ids[Number(row)] ?? "")} ${reason}`,
    );
  }
}

/** Answers the calls of one worker, which has one index. */
export function indexService(platform: IndexPlatform): IndexWorkerApi {
  const queue = new CallQueue();
  const jobs = new Jobs();
  let wasmMemory: WebAssembly.Memory | undefined;
  let open: Open | undefined;

  const needOpen = (): Open => {
    if (!open) throw new ClipError("disposed", "the index was closed: open it again");
    return open;
  };

  /** Queues a call on the newest state of the store, with its vectors in memory. */
  const read = <T>(use: (state: StoreState, memory: VectorsInMemory) => Promise<T>): Promise<T> =>
    queue.run(() => {
      const { store, memory } = needOpen();
      return store.read(async (state) => {
        await memory.catchUp(state);
        return use(state, memory);
      });
    });

  /** Keys of ids that must all be there. */
  const keysOf = async (state: StoreState, ids: string[]): Promise<Uint32Array> => {
    const keys = await state.keys(ids);
    const unknown = ids.find((_, i) => keys[i] === undefined);
    if (unknown !== undefined) throw new ClipError("unknown-id", `the index has no item ${unknown}`);
    return Uint32Array.from(keys as number[]);
  };

  return {
    locate: setAddresses,

    open: (place, header) =>
      queue.run(async () => {
        if (open) throw new ClipError("unexpected", "this worker has an index already");
        await checkEngine();
        const store = await platform.stores.open(place, header);
        try {
          const { wasm, memory: own } = await loadIndexWasm(await platform.module());
          wasmMemory = own;
          const memory = new VectorsInMemory(wasm, store.header);
          await store.read((state) => memory.catchUp(state));
          open = { store, memory };
        } catch (error) {
          await store.close();
          throw error;
        }
        return { header: store.header, channel: store.channel };
      }),

    write: ({ vectors, ...items }) =>
      queue.run(async () => {
        const { store, memory } = needOpen();
        const encoded = vectors && encode(memory, vectors, items.ids);
        const { before, version, keys } = await store.write({ ...items, ...encoded });
        // otherwise another tab wrote meanwhile: the next call catches up with both
        if (before !== memory.version) return;
        if (encoded) memory.put({ keys, vectors: encoded.vectors });
        memory.version = version;
      }),

    remove: (ids) =>
      queue.run(async () => {
        const { store, memory } = needOpen();
        const { before, version, keys } = await store.remove(ids);
        if (before === memory.version) {
          memory.remove(keys);
          memory.version = version;
        }
        return keys.length;
      }),

    items: (ids) =>
      read(async (state) => {
        const keys = await state.keys(ids);
        const items = await state.items(Uint32Array.from(keys.filter((key) => key !== undefined)));
        const found = items.values();
        return keys.map((key): WireItem | undefined => (key === undefined ? undefined : found.next().value));
      }),

    vectors: (ids) =>
      read(async (state, memory) => {
        const vectors = memory.decode(await state.exact(await keysOf(state, ids)));
        return transfer(vectors, [vectors.buffer]);
      }),

    list: (after, limit) =>
      read(async (state) => {
        const found = await state.ids(after, limit);
        const items = await state.items(Uint32Array.from(found, ({ key }) => key));
        return { items: items.filter((item) => item !== undefined), last: found.at(-1)?.key ?? after };
      }),

    size: () => read(async (state) => state.size),

    search: (queries, { k, offset, minScore = -Infinity, filter }) =>
      read(async (state, memory) => {
        const allowed = filter && (await state.matching(filter));
        const ranked = await memory.search(state, queries, offset + k, allowed);
        return Promise.all(
          ranked.map(async ({ keys, scores }): Promise<WireMatch[]> => {
            const items = await state.items(keys.subarray(offset));
            return items
              .map((item, i) => ({ ...(item as WireItem), score: scores[offset + i] as number }))
              .filter(({ score }) => score >= minScore);
          }),
        );
      }),

    startDuplicates: (threshold) => read(async (_, memory) => jobs.add(memory.duplicates(threshold))),

    startClusters: (k, iterations, seed) => read(async (_, memory) => jobs.add(memory.clusters(k, iterations, seed))),

    step: (job) => queue.run(() => jobs.step(job)),

    groups: (job) =>
      read(async (state) => {
        const groups = await Promise.all(jobs.result<Uint32Array[]>(job).map((keys) => state.items(keys)));
        return groups.map((items) => items.filter((item) => item !== undefined));
      }),

    clustering: (job) =>
      read(async (state) => {
        const { keys, centroids } = jobs.result<{ keys: Uint32Array[]; centroids: Float32Array }>(job);
        const clusters = await Promise.all(keys.map((some) => state.items(some)));
        const ids = clusters.map((items) => items.flatMap((item) => item?.id ?? []));
        return transfer({ ids, centroids }, [centroids.buffer]);
      }),

    end: (job) => queue.run(() => jobs.end(job)),

    memory: () => queue.run(() => wasmMemory?.buffer.byteLength ?? 0),

    close: () =>
      queue.run(async () => {
        const closing = open;
        open = undefined;
        jobs.endAll();
        closing?.memory.free();
        await closing?.store.close();
      }),

    delete: (place) => queue.run(() => platform.stores.delete(place)),

    names: () => queue.run(() => platform.stores.list()),
  };
}
