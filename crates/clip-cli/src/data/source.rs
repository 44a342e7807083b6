//! Where pairs are: what a caller names, and how it is read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::brace_expand::expand_braces;
use super::caption_table::caption_table;
use super::decode_text::encoding_of;
use super::image_folder::image_folder;
use super::location::{Location, locate, split_paths};
use super::sample::{CaptionOptions, Sample, Sink};
use super::table_columns::TableColumns;
use super::together::together;
use super::webdataset::webdataset;
use crate::exit::{Failure, Result};

/// Kinds of data sets, by OpenCLIP's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum DatasetType {
    /// By what is there: a folder, a table, or tar files.
    #[default]
    Auto,
    /// Tar files.
    Webdataset,
    /// A table: csv, tsv, JSON lines.
    Csv,
    /// A folder of images.
    Folder,
}

impl DatasetType {
    /// Reads a name.
    ///
    /// # Errors
    /// `invalid-option`.
    pub fn from_name(name: &str) -> Result<Self> {
        let refused = |_unknown| Failure::option("datasetType", "auto, webdataset, csv or folder", name);
        <Self as clap::ValueEnum>::from_str(name, false).map_err(refused)
    }
}

/// How pairs are read.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Kind of the data set.
    pub kind: DatasetType,
    /// Encoding of captions without a byte order mark; `None` for UTF-8.
    pub encoding: Option<String>,
    /// Whether each line of a caption file is a caption.
    pub lines: bool,
    /// Column of image names.
    pub image_column: Option<String>,
    /// Column of captions.
    pub caption_column: Option<String>,
    /// Separator of columns.
    pub separator: Option<String>,
    /// Path, in a folder, of the only table to read.
    pub table: Option<String>,
    /// Folder of the images that tables name; `None` for that of each table.
    pub images: Option<PathBuf>,
}

impl ReadOptions {
    fn columns(&self) -> TableColumns<'_> {
        TableColumns {
            image: self.image_column.as_deref(),
            caption: self.caption_column.as_deref(),
            separator: self.separator.as_deref(),
            encoding: self.encoding.as_deref(),
        }
    }

    fn captions(&self) -> CaptionOptions<'_> {
        CaptionOptions { encoding: self.encoding.as_deref(), lines: self.lines }
    }
}

/// One place of pairs.
#[derive(Debug, Clone)]
enum Place {
    Folder(PathBuf),
    Table(Location),
    Shard(Location),
}

impl Place {
    /// Where it is.
    fn location(&self) -> Location {
        match self {
            Self::Folder(path) => Location::Path(path.clone()),
            Self::Table(at) | Self::Shard(at) => at.clone(),
        }
    }
}

/// Pairs that can be read any number of times, in the same order.
#[derive(Debug, Clone)]
pub struct Source {
    places: Vec<Place>,
    options: ReadOptions,
}

const TABLES: [&str; 9] = ["csv", "tsv", "tab", "txt", "json", "jsonl", "jsonlines", "ndjson", "psv"];

/// Extension of a path in lower case, without that of gzip.
fn extension_of(path: &str) -> String {
    let lower = path.to_lowercase();
    let name = lower.strip_suffix(".gz").unwrap_or(&lower);
    Path::new(name).extension().map(|end| end.to_string_lossy().into_owned()).unwrap_or_default()
}

impl Source {
    /// Finds the pairs that paths name; `::` separates several, as in OpenCLIP, and braces stand for several shards.
    ///
    /// # Errors
    /// `source-unreadable` for a path that does not exist, and a file that a server does not send; `invalid-option`; `invalid-source` for
    /// another kind of file.
    pub fn open(paths: &[String], options: ReadOptions) -> Result<Self> {
        encoding_of(options.encoding.as_deref())?;
        let mut places = Vec::new();
        for path in paths.iter().flat_map(|path| split_paths(path)) {
            // a folder or file may be named with braces
            let names = if Path::new(&path).exists() { vec![path] } else { expand_braces(&path)? };
            for name in names {
                places.push(place_of(&name, options.kind)?);
            }
        }
        if places.is_empty() {
            return Err(Failure::new(
                "invalid-source",
                "no pairs: name a folder, a table or tar files by --train-data",
            ));
        }
        let on_servers: Vec<Location> = places.iter().map(Place::location).collect();
        let check = |at: Location| if let Location::Address(address) = at { address.check() } else { Ok(()) };
        if on_servers.iter().any(|at| matches!(at, Location::Address(_))) {
            together(on_servers, check)?.into_iter().collect::<Result<()>>()?;
        }
        Ok(Self { places, options })
    }

    /// Checks that each option of the reading has something to read in one of the sources.
    ///
    /// # Errors
    /// `invalid-option` for one that would be ignored.
    pub fn check_used(sources: &[&Self]) -> Result<()> {
        let Some(Self { options, .. }) = sources.first() else { return Ok(()) };
        let places = || sources.iter().flat_map(|source| &source.places);
        let folders = places().any(|place| matches!(place, Place::Folder(_)));
        let alone = places().any(|place| matches!(place, Place::Table(_)));
        let tables = folders || alone;
        let files = folders || places().any(|place| matches!(place, Place::Shard(_)));
        for (name, value, is_used, of) in [
            ("table", options.table.as_deref(), folders, "a folder"),
            ("images", options.images.as_ref().and_then(|path| path.to_str()), alone, "a table that names them"),
            ("imageColumn", options.image_column.as_deref(), tables, "a table or folder"),
            ("captionColumn", options.caption_column.as_deref(), tables, "a table or folder"),
            ("separator", options.separator.as_deref(), tables, "a table or folder"),
            ("captions", options.lines.then_some("lines"), files, "caption files in a folder or tar file"),
        ] {
            if let Some(value) = value.filter(|_| !is_used) {
                return Err(Failure::option(name, &format!("none without {of}"), value));
            }
        }
        Ok(())
    }

    /// Returns each of its places as a source of its own, with the name of its file or folder.
    ///
    /// # Errors
    /// `invalid-source` for two of the same name.
    pub fn by_name(&self) -> Result<Vec<(String, Self)>> {
        let mut named: Vec<(String, Self)> = Vec::new();
        for place in &self.places {
            let file = match place.location() {
                Location::Path(path) => {
                    // `.` and `..` have no name
                    let path = path.canonicalize().map_err(|error| Failure::unreadable("data", &path, error))?;
                    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
                }
                Location::Address(address) => {
                    let path = address.path();
                    path.rsplit('/').next().unwrap_or(&path).to_owned()
                }
            };
            let is_folder = matches!(place, Place::Folder(_));
            let name = if is_folder { file.as_str() } else { file.split('.').next().unwrap_or(&file) };
            if named.iter().any(|(other, _)| other == name) {
                let message = format!("two sources are named {name}: embed them into folders of their own");
                return Err(Failure::new("invalid-source", message));
            }
            named.push((name.to_owned(), Self { places: vec![place.clone()], options: self.options.clone() }));
        }
        Ok(named)
    }

    /// Reads all samples, in order.
    ///
    /// # Errors
    /// `source-unreadable`, `invalid-dataset`, and those of the sink.
    pub(super) fn read(&self, sink: &mut Sink<'_>) -> Result<()> {
        let (columns, captions) = (self.options.columns(), self.options.captions());
        for place in &self.places {
            let source: Arc<str> = place.location().to_string().into();
            let sink = &mut |sample: Sample| sink(Sample { source: source.clone(), ..sample });
            match place {
                Place::Folder(path) => image_folder(path, self.options.table.as_deref(), columns, captions, sink)?,
                Place::Table(at) => caption_table(at, columns, self.options.images.as_deref(), sink)?,
                Place::Shard(at) => webdataset(at, captions, sink)?,
            }
        }
        Ok(())
    }
}

fn place_of(name: &str, kind: DatasetType) -> Result<Place> {
    if name.starts_with("pipe:") {
        let message = format!("{name}: pipes are not read: name the files, or their addresses (https://, s3://)");
        return Err(Failure::new("invalid-source", message));
    }
    let at = locate(name)?;
    let wrong = |expected: &str| Err(Failure::new("invalid-source", format!("{at}: expected {expected}")));
    let is_folder = match &at {
        Location::Path(path) => {
            std::fs::metadata(path).map_err(|error| Failure::unreadable("data", path, error))?.is_dir()
        }
        Location::Address(_) => false,
    };
    match (kind, &at) {
        (DatasetType::Folder, Location::Address(_)) => wrong("a folder on disk: servers do not list theirs"),
        (DatasetType::Folder, _) if !is_folder => wrong("a folder, got a file"),
        (DatasetType::Webdataset | DatasetType::Csv, _) if is_folder => wrong("a file, got a folder"),
        (DatasetType::Webdataset, _) => Ok(Place::Shard(at)),
        (DatasetType::Csv, _) => Ok(Place::Table(at)),
        (_, Location::Path(path)) if is_folder => Ok(Place::Folder(path.clone())),
        _ => match extension_of(&at.path()).as_str() {
            "tar" | "tgz" => Ok(Place::Shard(at)),
            end if TABLES.contains(&end) => Ok(Place::Table(at)),
            _ => wrong("a folder, a .tar file, or a table (.csv, .tsv, .jsonl); else say which by --dataset-type"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::fixture_path;

    #[test]
    fn paths_tell_the_kind() {
        let open = |path: &str, kind| Source::open(&[path.into()], ReadOptions { kind, ..ReadOptions::default() });
        let at = |path: &str| fixture_path(path).display().to_string();
        let kinds = |source: Source| -> Vec<&str> {
            let kind = |place: &Place| match place {
                Place::Folder(_) => "folder",
                Place::Table(_) => "table",
                Place::Shard(_) => "shard",
            };
            source.places.iter().map(kind).collect()
        };
        let shards = at("cases/webdataset/{dots.tar,gz.tar.gz}");
        assert_eq!(kinds(open(&shards, DatasetType::Auto).unwrap()), ["shard", "shard"]);
        let both = format!("{}::{}", at("cases/split-metadata"), at("cases/caption-tables/upper.csv"));
        assert_eq!(kinds(open(&both, DatasetType::Auto).unwrap()), ["folder", "table"]);
        for (path, kind, code) in [
            (at("none-{0..2}.tar"), DatasetType::Auto, "source-unreadable"),
            (at("README.md"), DatasetType::Auto, "invalid-source"),
            (at("models"), DatasetType::Webdataset, "invalid-source"),
            ("pipe:cat a.tar".into(), DatasetType::Auto, "invalid-source"),
            ("ftp://example.org/a.tar".into(), DatasetType::Auto, "invalid-source"),
            ("https://example.org/folder/".into(), DatasetType::Auto, "invalid-source"),
            ("a-{3..1}.tar".into(), DatasetType::Auto, "invalid-option"),
        ] {
            assert_eq!(open(&path, kind).unwrap_err().code, code, "{path}");
        }
        let table = ReadOptions { table: Some("a.csv".into()), ..ReadOptions::default() };
        let lines = ReadOptions { lines: true, ..ReadOptions::default() };
        let column = ReadOptions { image_column: Some("url".into()), ..ReadOptions::default() };
        for (path, options, is_used) in [
            (both.clone(), table.clone(), true),
            (shards.clone(), table, false),
            (shards.clone(), lines.clone(), true),
            (at("cases/caption-tables/upper.csv"), lines, false),
            (shards.clone(), column, false),
        ] {
            let source = Source::open(&[path], options).unwrap();
            assert_eq!(Source::check_used(&[&source]).is_ok(), is_used);
        }
        let options = ReadOptions { encoding: Some("klingon".into()), ..ReadOptions::default() };
        assert_eq!(Source::open(&[both], options).unwrap_err().code, "invalid-option");
    }
}
