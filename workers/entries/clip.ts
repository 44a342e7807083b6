/** Entry of the worker in a browser. */

import { expose } from "comlink";
import { readMerges } from "../loading/merges.js";
import { holdLifeLock, sharingLife } from "../protocol/life.js";
import { spawned } from "../protocol/spawned.js";
import { registerTransferHandlers } from "../protocol/transfer.js";
import { ownFile } from "../runtime/own-file.js";
import { WASM_ADDRESSES } from "../runtime/wasm-addresses.js";
import { ClipService } from "../service/service.js";
import { makeFolder, openCacheFolder, openPlace } from "../storage/opfs.js";

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
    thread: () => sharingLife(new Worker(new URL("./thread.js", import.meta.url), { type: "module" })),
    tokenizers: async () => new URL("../wasm/tokenizers_bg.wasm", import.meta.url),
    merges: async () => readMerges(await fetchOwn(new URL("../../../assets/clip-merges.txt.gz", import.meta.url))),
    store: openCacheFolder,
    folder: makeFolder,
    place: openPlace,
    loader: () => spawned(new Worker(new URL("./loader.js", import.meta.url), { type: "module" })),
  }),
);
