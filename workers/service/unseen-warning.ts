/** What is said of words that a model never learned of. */

/** Words that are named, and how much of each. */
const MOST_WORDS = 8;
const MOST_LETTERS = 20;

/** A warning that names them; none where there are none. */
export function unseenWarning(words: readonly string[]): string[] {
  if (words.length === 0) return [];
  const short = (word: string) => (word.length > MOST_LETTERS ? `${word.slice(0, MOST_LETTERS)}…` : word);
  const named = words.slice(0, MOST_WORDS).map((word) => `"${short(word)}"`);
  const more = words.length > MOST_WORDS ? ` and ${words.length - MOST_WORDS} more` : "";
  return [
    `no caption that this model learned from has ${named.join(", ")}${more}: its vocabulary was cut to those captions, and what it makes of other words means nothing`,
  ];
}
