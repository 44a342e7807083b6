/** What an index holds, and how it is asked: the part of its contract that stores share. */

/** A value in JSON. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

/** Metadata of an item: anything that JSON expresses. */
export type Metadata = { [key: string]: JsonValue };

/** How vectors are kept, 4, 2 or 1 byte a number; `int8` has the vectors in f16 beside it, by which the best are scored again. */
export type VectorStorage = "f32" | "f16" | "int8";

/** A value that a filter compares with. */
export type FilterValue = string | number | boolean | null;

/** What a field must meet; several conditions must all hold. A list meets a condition if one of its elements does. */
export interface FieldCondition {
  /** Equal to the value, and of its type. */
  $eq?: FilterValue;
  /** The contrary of `$eq`; true where the field is missing. */
  $ne?: FilterValue;
  /** Equal to one of the values. */
  $in?: readonly FilterValue[];
  /** Greater than a number, or after a string in the order of code points. */
  $gt?: number | string;
  /** `$gt` or equal. */
  $gte?: number | string;
  /** Less than a number, or before a string. */
  $lt?: number | string;
  /** `$lt` or equal. */
  $lte?: number | string;
  /** Whether the field is there; a field that is `null` is. */
  $exists?: boolean;
}

/**
 * Which items a search considers, by their metadata. Fields are named by their path (`"exif.year"`); all of them must meet their
 * condition.
 *
 * @example
 * { album: "holidays", "exif.year": { $gte: 2020 }, $not: { tags: { $in: ["blurred", "private"] } } }
 */
export interface Filter {
  /** All of these. */
  $and?: readonly Filter[];
  /** One of these. */
  $or?: readonly Filter[];
  /** Not this. */
  $not?: Filter;
  /** A field: a value that it must equal, or conditions. */
  [field: string]: FilterValue | FieldCondition | Filter | readonly Filter[] | undefined;
}

/** What an index is made of; it never changes. */
export interface IndexHeader {
  /** Numbers a vector. */
  dimension: number;
  storage: VectorStorage;
  /** Fingerprint of the model whose vectors these are; `undefined` if none was named. */
  model: string | undefined;
}

/**
 * Where an index is: under a name among those of this origin or user, in a file or folder, at an address, or in memory alone, where
 * it is gone with its worker.
 */
export type IndexPlace = { name: string } | { path: string } | { url: string } | { memory: true };

/** A `BroadcastChannel` on which those that write to an index say so. */
export interface IndexChannel {
  name: string;
  /** Name under which this worker writes. */
  writer: string;
}

/** What is said there when a write is committed. */
export interface IndexChange {
  writer: string;
}
