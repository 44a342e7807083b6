//! Labelled images: a folder with one subfolder a class, as torchvision's `ImageFolder` reads it.

use std::path::{Path, PathBuf};

use super::folder::{inspect_all, is_hidden, list_folder};
use crate::checkpoint::read_text_file;
use crate::exit::{Failure, Result};

/// Labelled images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    /// Names of the classes.
    pub names: Vec<String>,
    /// Each image and the index of its class.
    pub images: Vec<(PathBuf, usize)>,
    /// Images that cannot be decoded here.
    pub bad: Vec<Failure>,
}

/// Reads the names of classes, one a line.
fn read_names(path: &Path) -> Result<Vec<String>> {
    let text = read_text_file(path, "invalid-dataset")?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// Names of the folders directly in a folder, in the order of torchvision's classes: by code points. Hidden ones are left out.
fn subfolders(folder: &Path) -> Result<Vec<String>> {
    let unreadable = |error: std::io::Error| Failure::unreadable("folder", folder, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !is_hidden(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Lists the images of a folder. Without a file of `names`, the subfolders' names are the classes', with spaces for `_`; with one, its
/// lines name the subfolders in their order.
///
/// # Errors
/// `source-unreadable`; `invalid-dataset` for a folder without classes, a class without images, and another number of names.
pub fn read_classes(folder: &Path, names: Option<&Path>) -> Result<Classes> {
    let files = list_folder(folder)?;
    let folders = subfolders(folder)?;
    let inspections = inspect_all(&files.iter().collect::<Vec<_>>());
    let (mut images, mut bad) = (Vec::new(), Vec::new());
    let mut is_empty = vec![true; folders.len()];
    for (file, inspection) in files.iter().zip(inspections).filter(|(_, inspection)| inspection.is_image) {
        let class_of = |class: &str| folders.binary_search_by(|name| name.as_str().cmp(class)).ok();
        let class = file.path.split_once('/').and_then(|(class, _)| class_of(class));
        let Some(class) = class else {
            let expected = "expected a subfolder for each class";
            return Err(Failure::dataset(format!("{}: {expected}, got the image {}", folder.display(), file.path)));
        };
        is_empty[class] = false;
        match inspection.problem {
            Some(problem) => bad.push(Failure::dataset(format!("{}: {problem}", file.location.display()))),
            None => images.push((file.location.clone(), class)),
        }
    }
    if is_empty.iter().all(|&is_empty| is_empty) {
        return Err(Failure::dataset(format!("{}: no images in subfolders, one for each class", folder.display())));
    }
    // captions of a class without images would compete with those of the others
    if let Some(at) = is_empty.iter().position(|&is_empty| is_empty) {
        let empty = folder.join(&folders[at]);
        return Err(Failure::dataset(format!("{}: no images of this class: add some, or remove it", empty.display())));
    }
    let names = match names {
        None => folders.iter().map(|name| name.replace('_', " ")).collect(),
        Some(path) => {
            let names = read_names(path)?;
            if names.len() != folders.len() {
                let got = format!("{} names for {} subfolders", names.len(), folders.len());
                return Err(Failure::dataset(format!(
                    "{}: expected one name a line for each subfolder, got {got}",
                    path.display()
                )));
            }
            names
        }
    };
    Ok(Classes { names, images, bad })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::{fixture, fixture_path};

    #[test]
    fn subfolders_are_classes() {
        let folder = tempfile::tempdir().unwrap();
        let png = fixture("cases/split-metadata/test/0.png");
        for name in ["hot_dog/a.png", "hot_dog/more/b.png", "cat/c.png"] {
            let path = folder.path().join("images").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &png).unwrap();
        }
        let images = folder.path().join("images");
        let classes = read_classes(&images, None).unwrap();
        assert_eq!(classes.names, ["cat", "hot dog"]);
        assert_eq!(classes.images.iter().map(|(_, class)| *class).collect::<Vec<_>>(), [0, 1, 1]);
        let names = folder.path().join("names.txt");
        std::fs::write(&names, "a cat\n\na sausage\n").unwrap();
        assert_eq!(read_classes(&images, Some(&names)).unwrap().names, ["a cat", "a sausage"]);
        std::fs::write(&names, b"\xff\xfea\0").unwrap();
        let error = read_classes(&images, Some(&names)).unwrap_err();
        assert!(error.code == "invalid-dataset" && error.message.ends_with("got UTF-16: save it as UTF-8"), "{error}");
        std::fs::write(&names, "\u{feff}one").unwrap();
        assert!(read_classes(&images, Some(&names)).unwrap_err().message.contains("1 names for 2 subfolders"));
        assert_eq!(read_classes(&fixture_path("cases/cut-pictures"), None).unwrap_err().code, "invalid-dataset");
        std::fs::create_dir(images.join("empty")).unwrap();
        let error = read_classes(&images, None).unwrap_err();
        assert!(error.message.ends_with("empty: no images of this class: add some, or remove it"), "{error}");
    }

    #[test]
    fn classes_are_those_of_torchvision_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let (png, heic) = (fixture("cases/split-metadata/test/0.png"), fixture("cases/picture-extensions/iphone.HEIC"));
        // by path, `cat-fish/` comes before `cat/`, and U+FF61 after U+1F600 in UTF-16
        for (name, bytes) in [
            ("cat/a.png", &png),
            ("cat-fish/b.png", &png),
            ("bad/c.HEIC", &heic),
            ("\u{ff61}/d.png", &png),
            ("\u{1f600}/e.png", &png),
            (".hidden/f.png", &png),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let classes = read_classes(folder.path(), None).unwrap();
        assert_eq!(classes.names, ["bad", "cat", "cat-fish", "\u{ff61}", "\u{1f600}"]);
        assert_eq!(classes.bad.len(), 1);
        for (path, class) in &classes.images {
            let name = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
            assert_eq!(classes.names[*class], name);
        }
        assert_eq!(classes.images.len(), 4);
    }
}
