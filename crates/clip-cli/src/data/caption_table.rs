//! Reads tables with the name of an image and its caption in each row: CSV, TSV and JSON lines, also compressed by gzip.

use std::collections::HashMap;
use std::path::Path;

use super::decode_text::decode_lines;
use super::file_index::{FileIndex, image_of};
use super::folder::list_folder;
use super::location::Location;
use super::sample::{Image, Sample, Sink};
use super::table_columns::TableColumns;
use super::table_file::{MAX_TABLE_BYTES, open_table};
use super::table_images::ImagesBeside;
use super::table_rows::table_rows;
use crate::exit::Result;

/// Reads the samples of a table file. Rows of the same image become one sample with several captions.
///
/// # Errors
/// `invalid-dataset`, and those of the sink.
pub(super) fn read_table(
    file: Vec<u8>,
    file_name: &str,
    columns: TableColumns<'_>,
    find: &mut dyn FnMut(&str) -> Result<Image>,
    sink: &mut dyn FnMut(Sample) -> Result<()>,
) -> Result<()> {
    enum Found {
        Bad(Sample),
        Image(String),
    }
    let text = decode_lines(&open_table(file)?, columns.encoding)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut captions: HashMap<String, Vec<String>> = HashMap::new();
    let mut found = Vec::new();
    for row in table_rows(text, file_name, columns)? {
        match row.captions {
            Err(problem) => {
                let key = if row.name.is_empty() { &row.place } else { &row.name };
                found.push(Found::Bad(Sample::bad(key, format!("{}: {problem}", row.place))));
            }
            Ok(texts) => match captions.get_mut(&row.name) {
                Some(earlier) => earlier.extend(texts),
                None => {
                    captions.insert(row.name.clone(), texts);
                    found.push(Found::Image(row.name));
                }
            },
        }
    }
    for each in found {
        sink(match each {
            Found::Bad(sample) => sample,
            Found::Image(name) => match find(&name) {
                Ok(image) => Sample::new(&name, image, captions.get(&name).map_or(&[], Vec::as_slice)),
                Err(error) => Sample::bad(&name, error.message),
            },
        })?;
    }
    Ok(())
}

/// Reads the samples of a table; image names are relative to the folder `images`, or else to the table.
///
/// # Errors
/// `source-unreadable`, `invalid-dataset`, and those of the sink.
pub(super) fn caption_table(
    at: &Location,
    columns: TableColumns<'_>,
    images: Option<&Path>,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let bytes = at.read_at_most(MAX_TABLE_BYTES)?;
    let mut beside = ImagesBeside::new(at);
    let files = images.map(list_folder).transpose()?;
    let index = files.as_ref().map(FileIndex::new);
    let mut find = |name: &str| match &index {
        Some(index) => image_of(index.get(name, "")?),
        None => beside.find(name),
    };
    read_table(bytes, &at.path(), columns, &mut find, sink).map_err(|error| error.about(&at.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::{described, fixture, json};

    /// `image: captions` of each sample, or its error.
    fn read(file: &[u8], name: &str, columns: TableColumns<'_>) -> Vec<String> {
        let describe = |sample: Sample| match sample.pair {
            Ok((_, texts)) => format!("{}: {}", sample.key, texts.join(" / ")),
            Err(error) => format!("{}: {error}", error.code),
        };
        let mut find = |_: &str| Ok(Image::Bytes([].into()));
        described(|sink| read_table(file.to_vec(), name, columns, &mut find, sink), describe)
    }

    #[test]
    fn a_row_that_rust_cannot_hold_spoils_no_other() {
        let array = br#"[{"image": "a.png", "text": "cut \ud83d"}, {"image": "b.png", "text": "b", "area": 1e999}]"#;
        let rows = ["invalid-dataset: item 1: invalid character U+D83D in the text", "b.png: b"];
        assert_eq!(read(array, "a.json", TableColumns::default()), rows);
        let lines = b"{\"image\": \"a.png\", \"text\": \"cut \\ud83d\"}\n{\"image\": \"b.png\", \"text\": \"b\"}";
        assert_eq!(read(lines, "a.jsonl", TableColumns::default())[0], rows[0].replace("item", "line"));
    }

    #[test]
    fn images_may_lie_in_another_folder() {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("images");
        std::fs::create_dir_all(images.join("a")).unwrap();
        std::fs::write(images.join("a/1.png"), fixture("cases/split-metadata/test/0.png")).unwrap();
        let table = folder.path().join("b.csv");
        std::fs::write(&table, "image,text\na/1.png,one\na/2.png,two\n").unwrap();
        let mut found = Vec::new();
        let mut sink = |sample: Sample| {
            found.push(sample.pair.map(|(image, _)| image.name()).map_err(|error| error.message));
            Ok(())
        };
        caption_table(&Location::Path(table), TableColumns::default(), Some(&images), &mut sink).unwrap();
        assert_eq!(found, [Ok(images.join("a/1.png").display().to_string()), Err("no image of that name".into())]);
    }

    #[test]
    fn tables_of_users() {
        let expected = json("cases/caption-tables/expected.json");
        for (name, captions) in expected.as_object().unwrap() {
            let Some(captions) = captions.as_array() else { continue };
            let got = read(&fixture(&format!("cases/caption-tables/{name}")), name, TableColumns::default());
            let wanted: Vec<String> =
                captions.iter().enumerate().map(|(i, text)| format!("p{i}.png: {}", text.as_str().unwrap())).collect();
            assert_eq!(got, wanted, "{name}");
        }
        let latin1 = fixture("cases/caption-tables/latin1.csv");
        assert_eq!(
            read(&latin1, "latin1.csv", TableColumns::default()),
            ["invalid-dataset: row 2: expected text in UTF-8, got probably windows-1252: pass --encoding windows-1252"]
        );
        let columns = TableColumns { encoding: Some("latin1"), ..TableColumns::default() };
        assert_eq!(read(&latin1, "latin1.csv", columns), ["p0.png: café in München"]);
        let unquoted = fixture("cases/caption-tables/unquoted-comma.csv");
        assert_eq!(
            read(&unquoted, "unquoted-comma.csv", TableColumns::default()),
            [
                "invalid-dataset: row 2: expected 2 fields, as in the header, got 3: \"p0.png\", \"a red apple\", \" on a table\"; quote fields that contain the separator",
                "p1.png: a pear"
            ]
        );
    }

    #[test]
    fn tables_as_pandas_reads_them() {
        let tables = json("captions/tables.json");
        let tables = tables["tables"].as_array().unwrap();
        assert!(tables.len() > 10);
        for table in tables {
            let name = table["name"].as_str().unwrap();
            let got = read(table["text"].as_str().unwrap().as_bytes(), name, TableColumns::default());
            let rows = table["rows"].as_array().unwrap();
            assert_eq!(got.len(), rows.len(), "{name}: {got:?}");
            for (got, row) in got.iter().zip(rows) {
                match row[1].as_str() {
                    Some(caption) => assert_eq!(*got, format!("{}: {caption}", row[0].as_str().unwrap()), "{name}"),
                    // a missing value of pandas is a bad pair
                    None => assert!(got.contains(": no caption") || got.contains("expected 2 fields"), "{name}: {got}"),
                }
            }
        }
    }

    #[test]
    fn odd_tables() {
        let cases: &[(&str, &[&str])] = &[
            ("sep=;\r\nfile_name;text\r\na.png;a, b\r\n", &["a.png: a, b"]),
            ("SEP=\t\rfile_name\ttext\ra.png\ta, b\r", &["a.png: a, b"]),
            ("\u{feff}sep=~\nfile_name~text\na.png~a, b\n", &["a.png: a, b"]),
            (" File Name ;\tCaption \na.png;a\n", &["a.png: a"]),
            ("file_name,text\na.png,a,,\nb.png,b, \n", &["a.png: a", "b.png: b"]),
            ("file_name,text\na.png,\"NA\"\nb.png, null \n", &["a.png: NA", "row 3: no caption: null stands"]),
            (
                "file_name,text\na.png,\"open\nb.png,\"b\"\nc.png,c\n",
                &["row 2: a quote is not closed", "b.png: b", "c.png: c"],
            ),
            (
                "file_name,text\na.png,\"open\nb.png,b\"\nc.png,c\n",
                &["row 2: a quote is not closed: the caption contains the row \"b.png,b\"", "c.png: c"],
            ),
            ("file_name,text\na.png,a\nb.png,b\na.png,c\na.png,\n", &["a.png: a / c", "b.png: b", "row 5: no caption"]),
            ("file_name,text\na.png,a\0b\nb.png,b\n", &["row 2: invalid character U+0000", "b.png: b"]),
            (
                "{\"file_name\": \"a.png\", \"text\": [\"a\", \"b\"]}\nnonsense\n",
                &["a.png: a / b", "line 2: invalid JSON"],
            ),
            ("[{\"image\": \"a.png\", \"caption\": 3}]", &["item 1: expected captions as text, got number"]),
            (
                "name,words\na.png,a\n",
                &["expected a column file_name or filepath or image or path or url, got \"name\", \"words\""],
            ),
        ];
        for (table, expected) in cases {
            let got = read(table.as_bytes(), "a.csv", TableColumns::default());
            assert_eq!(got.len(), expected.len(), "{table:?}: {got:?}");
            for (got, expected) in got.iter().zip(*expected) {
                assert!(got.contains(expected), "{table:?}: {got}");
            }
        }
        assert!(read(b"PK\x03\x04xxx", "a.xlsx", TableColumns::default())[0].contains("save it as CSV"));
    }
}
