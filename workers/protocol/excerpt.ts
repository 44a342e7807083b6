/** Shortens values for messages. */

const MAX_LENGTH = 200;

/** Returns the start of a text that may be long. */
export const excerpt = (text: string): string => (text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text);
