/** Rows of values with a separator between them: RFC 4180, and what people write in its place. */

/** What stands between two separators. */
export interface Field {
  text: string;
  /** Whether it stood in quotes, which are not in the text. */
  quoted: boolean;
  /** Why the text is not what was meant. */
  problem?: string;
}

/** What one field is, and where it ends. */
type Read = Field & { end: number };

const OPEN = "a quote that is not closed";

/** Reads fields of a text one after another. */
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
    // `"Best" dog ever` begins with quotes of its own
    const whole = plain.split('"').length % 2 === 1 && !plain.includes('\\"');
    return { text: plain, quoted: false, end, ...(!whole && { problem: OPEN }) };
  };
}

/** Rows of a text, blank ones too. Lines end in LF, CRLF or CR; text in quotes may hold them. */
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
