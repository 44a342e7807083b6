//! Labelled images: a folder with one subfolder a class, as torchvision's `ImageFolder` reads it.

use std::path::{Path, PathBuf};

use super::folder::{inspect_all, list_folder};
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
    let text = std::fs::read_to_string(path).map_err(|error| Failure::unreadable("file", path, error))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// Lists the images of a folder. Without a file of `names`, the subfolders' names are the classes', with spaces for `_`; with one, its
/// lines name the subfolders in their order.
///
/// # Errors
/// `source-unreadable`; `invalid-dataset` for a folder without classes, and for another number of names.
pub fn read_classes(folder: &Path, names: Option<&Path>) -> Result<Classes> {
    let files = list_folder(folder)?;
    let mut folders: Vec<&str> = Vec::new();
    let inspections = inspect_all(&files.iter().collect::<Vec<_>>());
    let (mut images, mut bad) = (Vec::new(), Vec::new());
    for (file, inspection) in files.iter().zip(inspections).filter(|(_, inspection)| inspection.is_image) {
        let Some((class, _)) = file.path.split_once('/') else {
            let expected = "expected a subfolder for each class";
            return Err(Failure::dataset(format!("{}: {expected}, got the image {}", folder.display(), file.path)));
        };
        if let Some(problem) = inspection.problem {
            bad.push(Failure::dataset(format!("{}: {problem}", file.location.display())));
            continue;
        }
        if folders.last() != Some(&class) {
            folders.push(class);
        }
        images.push((file.location.clone(), folders.len() - 1));
    }
    if images.is_empty() {
        return Err(Failure::dataset(format!("{}: no images in subfolders, one for each class", folder.display())));
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
        std::fs::write(&names, "one").unwrap();
        assert!(read_classes(&images, Some(&names)).unwrap_err().message.contains("1 names for 2 subfolders"));
        assert_eq!(read_classes(&fixture_path("cases/cut-pictures"), None).unwrap_err().code, "invalid-dataset");
    }
}
