/** The public API: what encodes, and what trains. It only names files, so that bundlers leave out those that an app does not use. */

export * from "./encode.js";
export * from "./training.js";
