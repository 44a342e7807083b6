/** What was given, in messages. */

const MOST = 200;

/** The beginning of a text that may be long. */
export const excerpt = (text: string): string => (text.length > MOST ? `${text.slice(0, MOST)}…` : text);
