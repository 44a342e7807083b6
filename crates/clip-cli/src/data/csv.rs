//! Reads separated values: RFC 4180, and common deviations from it. The `csv` crate reads neither separators of several characters nor
//! quotes that belong to the text, and an unclosed quote makes it swallow the rows that follow.

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) text: String,
    /// Whether it was quoted; the text is without the quotes.
    pub(super) quoted: bool,
    /// Whether a quote is not closed.
    pub(super) unclosed: bool,
}

/// Reads rows, blank ones included. Lines end in LF, CRLF or CR; quoted fields may contain line breaks.
pub(super) struct CsvRows<'a> {
    text: &'a str,
    separator: &'a str,
    at: usize,
}

impl<'a> CsvRows<'a> {
    pub(super) fn new(text: &'a str, separator: &'a str) -> Self {
        Self { text, separator, at: 0 }
    }

    /// End of the text up to the next separator or line break.
    fn bare_end(&self, from: usize) -> usize {
        let rest = &self.text[from..];
        let line = rest.find(['\r', '\n']).unwrap_or(rest.len());
        from + rest[..line].find(self.separator).unwrap_or(line)
    }

    /// End of the blanks after a closing quote; `None` if they are followed by anything but the end of the field.
    fn blanks_end(&self, from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            let rest = &self.text[at..];
            if rest.is_empty() || rest.starts_with(self.separator) || rest.starts_with(['\r', '\n']) {
                return Some(at);
            }
            if !rest.starts_with([' ', '\t']) {
                return None;
            }
            at += 1;
        }
    }

    /// Reads the field at an index; returns it and the index of its end.
    fn field(&self, at: usize) -> (Field, usize) {
        let end = self.bare_end(at);
        let plain = &self.text[at..end];
        let field = |text: String, quoted, unclosed| Field { text, quoted, unclosed };
        if !plain.starts_with('"') {
            return (field(plain.into(), false, false), end);
        }
        let quote_from = |from: usize| self.text[from..].find('"').map(|found| from + found);
        let mut close = quote_from(at + 1);
        while let Some(doubled) = close.filter(|&close| self.text[close + 1..].starts_with('"')) {
            close = quote_from(doubled + 2);
        }
        if let Some((close, after)) = close.and_then(|close| Some((close, self.blanks_end(close + 1)?))) {
            return (field(self.text[at + 1..close].replace("\"\"", "\""), true, false), after);
        }
        // `"Best" dog ever`: the quotes belong to the text
        let whole = plain.matches('"').count().is_multiple_of(2) && !plain.contains("\\\"");
        (field(plain.into(), false, !whole), end)
    }
}

impl Iterator for CsvRows<'_> {
    type Item = Vec<Field>;

    fn next(&mut self) -> Option<Vec<Field>> {
        if self.at >= self.text.len() {
            return None;
        }
        let mut fields = Vec::new();
        loop {
            let (field, end) = self.field(self.at);
            fields.push(field);
            self.at = end;
            if !self.text[self.at..].starts_with(self.separator) {
                break;
            }
            self.at += self.separator.len();
            if self.at == self.text.len() {
                fields.push(Field { text: String::new(), quoted: false, unclosed: false });
                break;
            }
        }
        self.at += if self.text[self.at..].starts_with("\r\n") { 2 } else { 1 };
        self.at = self.at.min(self.text.len());
        Some(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, separator: &str) -> Vec<Vec<String>> {
        CsvRows::new(text, separator).map(|row| row.into_iter().map(|field| field.text).collect()).collect()
    }

    #[test]
    fn quotes_lines_and_separators() {
        assert_eq!(rows("a,b\r\n\"c, \"\"d\"\"\",\"e\nf\"\r", ","), [["a", "b"], ["c, \"d\"", "e\nf"]]);
        assert_eq!(rows("a::b\n\"x\" ::y", "::"), [["a", "b"], ["x", "y"]]);
        assert_eq!(rows("a,\n\n,é", ","), [vec!["a", ""], vec![""], vec!["", "é"]]);
        assert_eq!(rows("\"Best\" dog,b\n", ","), [["\"Best\" dog", "b"]]);
        assert_eq!(rows("a\tb\n\"x\"\t\"y\"", "\t"), [["a", "b"], ["x", "y"]]);
        let unclosed = CsvRows::new("a,\"open\nb,c\n", ",").next().unwrap();
        assert_eq!((unclosed[1].text.as_str(), unclosed[1].unclosed), ("\"open", true));
    }
}
