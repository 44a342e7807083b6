/** Returns an expression for a function that makes an instance of the glue of modules. */
export function joinGlue(code: Record<string, string>): Promise<string>;
/** Why the glue of modules cannot be joined. */
export function conflictOf(code: Record<string, string>): Promise<(Error & { modules: string[] }) | undefined>;
/** Glue for a module that is not built. */
export function standInFor(module: string): string;
/** Whether glue is that of a module that is not built. */
export function isStandIn(code: string): boolean;
