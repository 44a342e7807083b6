import { inject } from "vitest";

declare module "vitest" {
  export interface ProvidedContext {
    published: boolean;
  }
}

/** Whether the modules under test are built as they are published: `npm test -- --release`. */
export const published = inject("published");
