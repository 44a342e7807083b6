/** How a page learns that a worker was killed: it gets the lock that the worker holds for as long as it lives. */

const PREFIX = "clipwright worker ";

/** Whether a message is the name of a worker's lock. */
export const isLifeLock = (data: unknown): data is string => typeof data === "string" && data.startsWith(PREFIX);

/** Takes the lock of this worker and tells its name, where there are locks. */
export function holdLifeLock(tell: (name: string) => void): void {
  const locks = navigator.locks as LockManager | undefined;
  const name = `${PREFIX}${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
  locks?.request(name, () => {
    tell(name);
    return new Promise(() => undefined);
  });
}
