/** The run whose states are kept, so that a closed tab can be gone on with. */

import { FOLDER } from "./run-options";

/** What has to be known of it besides its state. */
export interface SavedRun {
  /** Where its pairs were from, and what they are called. */
  source: string;
  name: string;
  step: number;
  totalSteps: number;
}

const KEY = "clipwright-train";

/** Notes how far the run is that is being saved. */
export function noteRun(run: SavedRun): void {
  localStorage.setItem(KEY, JSON.stringify(run));
}

/** The run that can be gone on with; nothing where there is none, or it was done. */
export async function findRun(): Promise<SavedRun | undefined> {
  const text = localStorage.getItem(KEY);
  if (!text) return undefined;
  try {
    const root = await navigator.storage.getDirectory();
    await root.getDirectoryHandle(FOLDER);
    const run: SavedRun = JSON.parse(text);
    return run.step < run.totalSteps ? run : undefined;
  } catch {
    return undefined;
  }
}

/** Forgets it: another begins. */
export async function forgetRun(): Promise<void> {
  localStorage.removeItem(KEY);
  const root = await navigator.storage.getDirectory();
  await root.removeEntry(FOLDER, { recursive: true }).catch(() => undefined);
}
