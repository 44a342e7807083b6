/** Entry of the worker in a browser. */

import { expose } from "comlink";
import { holdLifeLock, sharingLife } from "./life.js";
import { readMerges } from "./merges.js";
import { ownFile } from "./own-file.js";
import { ClipService } from "./service.js";
import { spawned } from "./spawned.js";
import { makeFolder, openCacheFolder, openPlace } from "./store/opfs.js";
import { registerTransferHandlers } from "./transfer.js";
import { WASM_ADDRESSES } from "./wasm-addresses.js";

registerTransferHandlers();

holdLifeLock((name) => self.postMessage(name));

const fetchOwn = (url: URL) =>
  ownFile(url.href, async () => {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  });

expose(
  new ClipService({
    wasm: async (module) => WASM_ADDRESSES[module],
    thread: () => sharingLife(new Worker(new URL("./thread.worker.js", import.meta.url), { type: "module" })),
    tokenizers: async () => new URL("./wasm/tokenizers_bg.wasm", import.meta.url),
    merges: async () => readMerges(await fetchOwn(new URL("../../assets/clip-merges.txt.gz", import.meta.url))),
    store: openCacheFolder,
    folder: makeFolder,
    place: openPlace,
    loader: () => spawned(new Worker(new URL("./loader.worker.js", import.meta.url), { type: "module" })),
  }),
);
