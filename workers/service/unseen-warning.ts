/** Words that the warning names. */
const MAX_WORDS = 8;
/** Characters of a word that it quotes. */
const MAX_LETTERS = 20;

/** Warns of words that are not in a vocabulary that was cut to the training captions. */
export function unseenWarning(words: readonly string[]): string[] {
  if (words.length === 0) return [];
  const short = (word: string) => (word.length > MAX_LETTERS ? `${word.slice(0, MAX_LETTERS)}…` : word);
  const named = words.slice(0, MAX_WORDS).map((word) => `"${short(word)}"`);
  const more = words.length > MAX_WORDS ? ` and ${words.length - MAX_WORDS} more` : "";
  const cause = "it was cut to the training captions, so embeddings of other words mean nothing";
  return [`the vocabulary lacks ${named.join(", ")}${more}: ${cause}`];
}
