/** Reads separated values: RFC 4180, and common deviations from it. */

/** A value of a row. */
export interface Field {
  text: string;
  /** Whether it was quoted; the text is without the quotes. */
  quoted: boolean;
  /** What is wrong with it. */
  problem?: string;
}

/** A field and the index of its end. */
type Read = Field & { end: number };

const UNCLOSED = "a quote is not closed";

/** Returns a function that reads the field at an index. */
function fieldReader(text: string, separator: string): (at: number) => Read {
  const escaped = separator.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  const other = separator.length === 1 ? `[^${escaped}\\r\\n]` : `(?:(?!${escaped})[^\\r\\n])`;
  const bare = new RegExp(`${other}*`, "y");
  const after = new RegExp(`(?:(?!${escaped})[ \\t])*(?=${escaped}|[\\r\\n]|$)`, "y");
  const match = (pattern: RegExp, at: number): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0];
  };

  return (at) => {
    const plain = match(bare, at) as string;
    const end = at + plain.length;
    if (!plain.startsWith('"')) return { text: plain, quoted: false, end };
    let close = text.indexOf('"', at + 1);
    while (close !== -1 && text[close + 1] === '"') close = text.indexOf('"', close + 2);
    const rest = close === -1 ? undefined : match(after, close + 1);
    if (rest !== undefined) {
      const quoted = text.slice(at + 1, close).replaceAll('""', '"');
      return { text: quoted, quoted: true, end: close + 1 + rest.length };
    }
    // `"Best" dog ever`: the quotes belong to the text
    const whole = plain.split('"').length % 2 === 1 && !plain.includes('\\"');
    return { text: plain, quoted: false, end, ...(!whole && { problem: UNCLOSED }) };
  };
}

/** Reads the rows of a text, blank ones included. Lines end in LF, CRLF or CR; quoted fields may contain line breaks. */
export function* readCsvRows(text: string, separator: string): Generator<Field[], void, undefined> {
  const read = fieldReader(text, separator);
  let fields: Field[] = [];
  for (let at = 0; at < text.length; ) {
    const { end, ...field } = read(at);
    fields.push(field);
    at = end;
    if (text.startsWith(separator, at)) {
      at += separator.length;
      if (at < text.length) continue;
      fields.push({ text: "", quoted: false });
    }
    at += text.startsWith("\r\n", at) ? 2 : 1;
    yield fields;
    fields = [];
  }
}
