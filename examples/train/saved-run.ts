/** Remembers the saved run, so that a closed tab can resume it. */

import { FOLDER } from "./run-options";

/** What the page needs besides the run's state. */
export interface SavedRun {
  /** Source and name of its pairs. */
  source: string;
  name: string;
  step: number;
  totalSteps: number;
}

const KEY = "clipwright-train";

/** Remembers the step of the saved state. */
export function noteRun(run: SavedRun): void {
  localStorage.setItem(KEY, JSON.stringify(run));
}

/** The run that can be resumed; undefined if there is none or it has ended. */
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

/** Deletes the saved run, because another begins. */
export async function forgetRun(): Promise<void> {
  localStorage.removeItem(KEY);
  const root = await navigator.storage.getDirectory();
  await root.removeEntry(FOLDER, { recursive: true }).catch(() => undefined);
}
