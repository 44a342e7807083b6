/** Calls that load a model, and ask about it. */

import { type ProxyMethods, releaseProxy } from "comlink";
import { mergeAdapter } from "../loading/adapter.js";
import { loadModel } from "../loading/checkpoint.js";
import { openCache, withSource } from "../loading/sources/open.js";
import type { ReadContext } from "../loading/sources/source.js";
import { setAddresses } from "../protocol/addresses.js";
import type { LoadingApi } from "../protocol/api.js";
import type { LoadProgress } from "../protocol/load.js";
import type { Session } from "./session.js";
import { Throttle } from "./throttle.js";

/** Closes the port of a caller's callback, which would keep Node's process alive. */
function releaseCallback(callback: unknown): void {
  if (typeof callback === "function") (callback as Partial<ProxyMethods>)[releaseProxy]?.();
}

/** Answers the calls for a session. */
export function loadingCalls(session: Session): LoadingApi {
  const { platform, warnings } = session;
  let abort: AbortController | undefined;
  return {
    locate: setAddresses,

    load(request, onProgress) {
      abort = new AbortController();
      const throttle = new Throttle((progress: LoadProgress) => onProgress?.(progress));
      let totalBytes = 0;
      const context: ReadContext = {
        signal: abort.signal,
        warn: (warning) => warnings.push(warning),
        progress: (event) => {
          totalBytes = event.totalBytes;
          throttle.send(event);
        },
      };
      const loading = session.queueOnDevice(request.device, async (wasm, device) => {
        const maxTensorBytes = request.maxTensorBytes ?? session.deviceInfo.maxTensorBytes;
        const options = { ...request, ...(maxTensorBytes !== undefined && { maxTensorBytes }) };
        const loaded = await withSource(request, wasm, platform, context, (source) =>
          loadModel(wasm, device, source, options, context, platform),
        );
        warnings.push(...loaded.warnings);
        const { model, tokenizer } = loaded.result;
        if (request.adapter) {
          const adapter = { ...request, source: request.adapter };
          const merged = await withSource(adapter, wasm, platform, context, (source) => mergeAdapter(model, source));
          warnings.push(...merged.warnings);
        }
        if (session.deviceInfo.kind === "webgpu") {
          throttle.flush();
          onProgress?.({ phase: "compile", loadedBytes: totalBytes, totalBytes });
          await model.warmUp();
        }
        session.setModel(model, tokenizer);
        warnings.push(...model.warnings, ...(tokenizer?.warningsFor(model.contextLength) ?? []));
        throttle.flush();
        return session.info();
      });
      return loading.finally(() => releaseCallback(onProgress));
    },

    abortLoad: () => abort?.abort(),

    info: () => session.queue(() => session.info()),

    memory: () =>
      session.queueInCore(({ memory }) => {
        const { gpuBytes } = session;
        return { wasmBytes: memory.buffer.byteLength, ...(gpuBytes !== undefined && { gpuBytes }) };
      }),

    cachedModels: () => session.queueInCore(async ({ wasm }) => (await openCache(wasm, platform))?.list() ?? []),

    deleteCached: (url) => session.queueInCore(async ({ wasm }) => (await openCache(wasm, platform))?.delete(url) ?? 0),
  };
}
