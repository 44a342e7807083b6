/** Prompt templates: captions with `{}` in place of the label. The native program has the same file. */

import sets from "./templates.json" with { type: "json" };

/** Template sets by name. */
export const TEMPLATES: Readonly<Record<"openai" | "simple", readonly string[]>> = {
  /**
   * The 80 templates of OpenAI's ImageNet evaluation: https://github.com/openai/CLIP/blob/d05afc436d78/data/prompts.md and
   * notebooks/Prompt_Engineering_for_ImageNet.ipynb (MIT).
   */
  openai: sets.openai,
  /** The seven of them that the same notebook found to work best together. */
  simple: sets.simple,
};
