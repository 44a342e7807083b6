/** Builds the native program together with the Rust tests, unless it is built, and returns its path. */
export function nativeProgram(): Promise<string>;
/** Settings as a config file of the program has them. */
export function toToml(settings: object): string;
