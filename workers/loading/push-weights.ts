/** Streams weights from their files to the core, without holding a file in memory. */

import type { ModelLoader } from "../runtime/wasm.js";
import type { ReadContext, SourceFile } from "./sources/source.js";

/** Bytes between two wanted ranges that cost less than another request. */
const MAX_GAP = 1 << 16;

/** Bytes `[begin, end)` of a file. */
interface Range {
  begin: number;
  end: number;
}

/** A range that is fetched by one request, and the ranges in it that are wanted. */
interface Request extends Range {
  file: number;
  wanted: Range[];
}

/** Merges wanted ranges with small gaps into requests; `ranges` has three numbers each: file, begin, end. */
function toRequests(ranges: Float64Array): Request[] {
  const requests: Request[] = [];
  for (let i = 0; i < ranges.length; i += 3) {
    const [file = 0, begin = 0, end = 0] = ranges.subarray(i, i + 3);
    const last = requests.at(-1);
    if (last && last.file === file && begin - last.end <= MAX_GAP) {
      last.end = end;
      last.wanted.push({ begin, end });
    } else {
      requests.push({ file, begin, end, wanted: [{ begin, end }] });
    }
  }
  return requests;
}

/** Pushes the ranges that the loader wants, in its order, and reports progress. */
export async function pushWeights(loader: ModelLoader, files: SourceFile[], context: ReadContext): Promise<void> {
  const requests = toRequests(loader.byteRanges());
  const totalBytes = requests.reduce((sum, { begin, end }) => sum + end - begin, 0);
  let loadedBytes = 0;
  for (const request of requests) {
    const ranges = request.wanted[Symbol.iterator]();
    let range = ranges.next().value;
    let at = request.begin;
    for await (const piece of (files[request.file] as SourceFile).stream(request.begin, request.end)) {
      context.signal.throwIfAborted();
      // a piece holds the end of a range, whole ranges, and the start of another
      let from = 0;
      while (range && from < piece.length) {
        from = Math.max(from, range.begin - at);
        const to = Math.min(piece.length, range.end - at);
        if (to > from) loader.push(piece.subarray(from, to));
        if (at + to < range.end) break;
        from = to;
        range = ranges.next().value;
      }
      at += piece.length;
      loadedBytes += piece.length;
      context.progress({ phase: "load", loadedBytes, totalBytes });
    }
  }
}
