/** Unpacks the pages of Parquet that are not packed by Snappy. */

import {
  decompressBrotli,
  decompressGzip,
  decompressLz4,
  decompressLz4Raw,
  decompressZstd,
} from "hyparquet-compressors";

/** What unpacks a page into so many bytes, by the codec's name. */
export const CODECS = {
  BROTLI: decompressBrotli,
  GZIP: decompressGzip,
  LZ4: decompressLz4,
  LZ4_RAW: decompressLz4Raw,
  ZSTD: (packed: Uint8Array) => decompressZstd(packed),
};
