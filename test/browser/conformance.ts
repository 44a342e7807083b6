/** The comparison of a device's kernels with their references, which published modules do not have. */

/** "agree", or the first difference; "not compared" in published modules, where it runs the self-test instead. */
export async function conformance(wasm: object, device: { selfTest(): Promise<void> }): Promise<string> {
  const checkKernels: unknown = Reflect.get(wasm, "checkKernels");
  if (typeof checkKernels !== "function") return device.selfTest().then(() => "not compared");
  return Promise.resolve(Reflect.apply(checkKernels, wasm, [device])).then(
    () => "agree",
    (error: Error) => error.message,
  );
}
