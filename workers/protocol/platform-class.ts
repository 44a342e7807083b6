/** Types of the platform that a user's compiler may not know: Node's projects have no `HTMLCanvasElement`, pages no `Buffer`. */

/**
 * An instance of a global class, such as `"Blob"`; `never` where the compiler's libraries do not have the class, so that no library
 * must be added to use the others.
 */
export type PlatformClass<Name extends string> =
  typeof globalThis extends Record<Name, Record<"prototype", infer Instance>> ? Instance : never;
