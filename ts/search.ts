/** `clipwright/search`: an index that is kept, every export by name. It needs no model of clipwright. */

export type { ExportedFile } from "../workers/protocol/api.js";
export type { ClipErrorCode } from "../workers/protocol/error.js";
export { ClipError, isClipError } from "../workers/protocol/error.js";
export type {
  FieldCondition,
  Filter,
  FilterValue,
  JsonValue,
  Metadata,
  VectorStorage,
} from "../workers/protocol/index-data.js";
export type { Addresses, FileAddresses } from "./configure.js";
export { configure } from "./configure.js";
export type { Embeddings } from "./encode/embeddings.js";
export type { ExportOptions } from "./exchange/export.js";
export type { Folder, ReadOptions } from "./exchange/import.js";
export type { ImportOptions } from "./search/exchange.js";
export type { Cluster, ClustersOptions, DuplicatesOptions, WorkOptions } from "./search/groups.js";
export type { IndexItem, ItemBatch, Items, ItemUpdate } from "./search/items.js";
export type { EmbeddingModel } from "./search/model.js";
export type { IndexAddress, IndexFile, IndexUrl } from "./search/place.js";
export type { Arithmetic, ImageQuery, ItemQuery, Query, SingleQuery, TextQuery } from "./search/query.js";
export type { IndexMatch, IndexOptions, SearchOptions, StoredItem } from "./search/vector-index.js";
export { VectorIndex } from "./search/vector-index.js";
