/** The steps of `CLIPTokenizer`, which it applies whatever its `tokenizer.json` says. */
const CLIP_STEPS = {
  normalizers: ["NFC", "Replace", "Lowercase"],
  pre_tokenizers: ["Split", "ByteLevel"],
};

/** A normalizer or a pre-tokenizer: one step or a sequence. */
type Steps = { type?: string; normalizers?: unknown[]; pretokenizers?: unknown[] } | null | undefined;

const typesOf = (steps: Steps) =>
  (steps?.normalizers ?? steps?.pretokenizers ?? (steps ? [steps] : []))
    .map((step) => (step as { type?: string }).type)
    .join();

/**
 * Whether a `tokenizer.json` is CLIP's, which the core reads itself. If `tokenizer_config.json` names another class than
 * `CLIPTokenizer`, the file's steps must be CLIP's, because other classes apply them. `true` for invalid JSON: the core's
 * error names the position.
 */
export function isClipTokenizer(json: string, configJson?: string): boolean {
  try {
    const { model, normalizer, pre_tokenizer } = JSON.parse(json) ?? {};
    if (typeof model !== "object" || model === null) return true;
    if (model.end_of_word_suffix !== "</w>") return false;
    const { tokenizer_class } = configJson === undefined ? {} : (JSON.parse(configJson) ?? {});
    if (tokenizer_class === undefined || /^CLIPTokenizer(Fast)?$/.test(tokenizer_class)) return true;
    return (
      typesOf(normalizer) === CLIP_STEPS.normalizers.join() &&
      typesOf(pre_tokenizer) === CLIP_STEPS.pre_tokenizers.join()
    );
  } catch {
    return true;
  }
}
