//! `info` and `convert`.

mod common;

use std::process::Stdio;

use common::{Folder, clipwright, command, copy_files, fixture, names};

const MODEL: &str = "models/clip-gelu-p16-eos/hf";

#[test]
fn info_describes_every_layout() {
    for (path, tower, kind, dtype) in [
        (MODEL, "both", "CLIP", "F32"),
        ("models/clip-gelu-p16-eos/open_clip", "both", "CLIP", "F32"),
        ("models/clip-gelu-p32-laion/hf-sharded", "both", "CLIP", "F32"),
        ("models/clip-gelu-p32-laion/hf-bf16", "both", "CLIP", "BF16"),
        ("models/clip-gelu-p32-laion/hf-fp16/model.safetensors", "both", "CLIP", "F16"),
        ("models/clip-gelu-p32-laion/open_clip", "both", "CLIP", "F32"),
    ] {
        let ran = clipwright(&["--json", "info", &fixture(path)]).expect(0);
        let info = &ran.events()[0];
        assert_eq!(
            (&info["type"], &info["towers"], &info["tokenizer"]["kind"]),
            (&"info".into(), &tower.into(), &kind.into())
        );
        assert!(info["dtypes"][dtype].as_u64().unwrap() > 5, "{path}: {info}");
        assert!(info["parameters"].as_u64().unwrap() > 1000 && info["config"]["embedDim"].as_u64().unwrap() > 0);
    }
    let shards = clipwright(&["--json", "info", &fixture("models/clip-gelu-p32-laion/hf-sharded")]);
    assert_eq!(shards.events()[0]["files"], 2);
    let siglip = clipwright(&["--json", "info", &fixture("models/siglip-p16/hf")]).expect(0);
    assert_eq!(siglip.events()[0]["config"]["objective"], "sigmoid");
    let text = clipwright(&["info", &fixture(MODEL)]).expect(0);
    assert!(text.stdout.contains("parameters  ") && text.stderr.is_empty(), "{}", text.stdout);
}

#[test]
fn a_converted_checkpoint_is_equal_and_complete() {
    let folder = Folder::new();
    for (layout, weights) in [("hf", "model.safetensors"), ("open_clip", "open_clip_model.safetensors")] {
        let out = folder.path(&format!("new/{layout}"));
        let ran = clipwright(&["--json", "convert", &fixture(MODEL), &out, "--layout", layout]).expect(0);
        assert_eq!(ran.events()[0]["type"], "converted");
        assert!(names(&out).contains(&weights.to_owned()), "{:?}", names(&out));
        let before = clipwright(&["--json", "info", &fixture(MODEL)]).events();
        let after = clipwright(&["--json", "info", &out]).expect(0).events();
        // OpenCLIP's library rounds the centre crop otherwise
        for key in ["/config", "/parameters", "/preprocess/mean", "/preprocess/size", "/tokenizer/vocabSize"] {
            assert_eq!(before[0].pointer(key), after[0].pointer(key), "{layout} {key}");
        }
        // no drafts are left
        assert!(names(folder.path("new")).iter().all(|name| !name.starts_with('.')));
    }
    // there and back: the same bytes
    let (file, again) = (folder.path("a.safetensors"), folder.path("b.safetensors"));
    clipwright(&["convert", &folder.path("new/open_clip"), &file]).expect(0);
    clipwright(&["convert", &file, &again]).expect(0);
    assert!(std::fs::read(&file).unwrap() == std::fs::read(&again).unwrap());
    // other types of weights become f32
    let bf16 = folder.path("bf16");
    clipwright(&["convert", &fixture("models/clip-gelu-p32-laion/hf-bf16"), &bf16]).expect(0);
    assert_eq!(clipwright(&["--json", "info", &bf16]).events()[0]["dtypes"].as_object().unwrap().len(), 1);
}

#[cfg(unix)]
#[test]
fn links_and_modules_are_read_as_the_package_reads_them() {
    let folder = Folder::new();
    // a link to a folder is no second model, one to a file is a file
    let run = folder.path("runs/run-3");
    std::fs::create_dir_all(&run).unwrap();
    for file in names(fixture(MODEL)) {
        std::os::unix::fs::symlink(fixture(&format!("{MODEL}/{file}")), format!("{run}/{file}")).unwrap();
    }
    std::os::unix::fs::symlink(&run, folder.path("runs/latest")).unwrap();
    clipwright(&["info", &folder.path("runs")]).expect(0);
    // modules.json lists models, and no adapters
    let (model, adapter) = (fixture("models/clip-quickgelu-p8/hf"), folder.path("adapter"));
    copy_files(&fixture("models/clip-quickgelu-p8/peft"), &adapter);
    folder
        .file("adapter/modules.json", r#"[{"path": "0_CLIPModel", "type": "sentence_transformers.models.CLIPModel"}]"#);
    clipwright(&["convert", &model, &folder.path("merged.safetensors"), "--adapter", &adapter]).expect(0);
    // devices and pipes hold no checkpoint
    std::os::unix::fs::symlink("/dev/zero", folder.path("config.json")).unwrap();
    std::fs::copy(fixture(&format!("{MODEL}/model.safetensors")), folder.path("model.safetensors")).unwrap();
    let refused = clipwright(&["info", folder.0.path().to_str().unwrap()]).expect(6);
    assert!(refused.stderr.contains("no regular file"), "{}", refused.stderr);
}

#[test]
fn errors_name_the_checkpoint_that_they_are_of() {
    let folder = Folder::new();
    copy_files(&fixture(MODEL), folder.0.path());
    folder.file("config.json", "{");
    let ran = clipwright(&["info", folder.0.path().to_str().unwrap()]).expect(3);
    assert!(
        ran.stderr.contains(&format!("{}: config.json: invalid JSON", folder.0.path().display())),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_foreign_tokenizer_goes_along() {
    let folder = Folder::new();
    let source = fixture("models/siglip-p16/hf");
    let out = folder.path("siglip");
    let kind = |path: &str| clipwright(&["--json", "info", path]).expect(0).events()[0]["tokenizer"]["kind"].clone();
    clipwright(&["convert", &source, &out]).expect(0);
    assert_eq!(kind(&source), kind(&out));
}

#[test]
fn an_adapter_is_added() {
    let folder = Folder::new();
    let (model, adapter) = (fixture("models/clip-quickgelu-p8/hf"), fixture("models/clip-quickgelu-p8/peft"));
    let (plain, merged) = (folder.path("plain.safetensors"), folder.path("merged.safetensors"));
    clipwright(&["convert", &model, &plain]).expect(0);
    clipwright(&["convert", &model, &merged, "--adapter", &adapter]).expect(0);
    assert!(std::fs::read(&plain).unwrap() != std::fs::read(&merged).unwrap());
}

#[test]
fn nothing_is_lost_and_nothing_is_half_written() {
    let folder = Folder::new();
    let out = folder.path("out");
    clipwright(&["convert", &fixture(MODEL), &out]).expect(0);
    let again = ["--json", "convert", &fixture(MODEL), &out];
    let refused = clipwright(&again).expect(7);
    assert_eq!(refused.events()[0]["code"], "target-unwritable");
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    clipwright(&[&again[..], &["--force"]].concat()).expect(0);
    std::fs::write(folder.path("out/thesis.docx"), "years of work").unwrap();
    let refused = clipwright(&[&again[..], &["--force"]].concat()).expect(7);
    assert!(refused.stderr.contains("thesis.docx"), "{}", refused.stderr);
    std::fs::rename(folder.path("out/thesis.docx"), folder.path("thesis.docx")).unwrap();
    for (name, expected) in [("out/notes.md", "notes.md"), ("out/.env", ".env"), ("out/results.json", "results.json")] {
        let path = folder.file(name, "mine");
        let refused = clipwright(&[&again[..], &["--force"]].concat()).expect(7);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        std::fs::remove_file(path).unwrap();
    }
    // a folder does not take the place of a file, nor a file that of a folder
    let thesis = folder.path("thesis.docx");
    clipwright(&["convert", &fixture(MODEL), &thesis, "--force"]).expect(7);
    assert_eq!(std::fs::read_to_string(&thesis).unwrap(), "years of work");
    std::fs::remove_file(thesis).unwrap();
    let a_folder = folder.path("a.safetensors");
    std::fs::create_dir(&a_folder).unwrap();
    clipwright(&["convert", &fixture(MODEL), &a_folder, "--force"]).expect(7);
    std::fs::remove_dir(a_folder).unwrap();
    let below_a_file = folder.path("out/config.json/x");
    clipwright(&["convert", &fixture(MODEL), &below_a_file]).expect(7);
    // OpenCLIP cannot describe SigLIP: nothing is written
    clipwright(&["convert", &fixture("models/siglip-p16/hf"), &folder.path("no"), "--layout", "open_clip"]).expect(2);
    assert_eq!(names(folder.0.path()), ["out"]);
}

#[cfg(unix)]
#[test]
fn a_stopped_conversion_leaves_nothing() {
    let folder = Folder::new();
    let out = folder.path("out");
    let mut child =
        command(&["convert", &fixture(MODEL), &out]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut drafts = 0;
    while child.try_wait().unwrap().is_none() {
        if names(folder.0.path()).iter().any(|name| name.ends_with(".draft")) {
            drafts += 1;
            std::process::Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
            break;
        }
    }
    let code = child.wait().unwrap().code();
    assert!(names(folder.0.path()).iter().all(|name| !name.ends_with(".draft")), "{code:?} {drafts}");
    assert!(code == Some(130) && !std::path::Path::new(&out).exists() || code == Some(0), "{code:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = command(&["info", &fixture(MODEL)]).stdout(full).stderr(Stdio::null()).status();
    assert_eq!(status.unwrap().code(), Some(7));
}

#[test]
fn bad_checkpoints_are_named() {
    let folder = Folder::new();
    let copy = |name: &str, change: &dyn Fn(&std::path::Path)| {
        let to = folder.0.path().join(name);
        copy_files(&fixture(MODEL), &to);
        change(&to);
        to.display().to_string()
    };
    let cut = copy("cut", &|to| {
        let weights = std::fs::read(to.join("model.safetensors")).unwrap();
        std::fs::write(to.join("model.safetensors"), &weights[..weights.len() - 10]).unwrap();
    });
    let page = copy("page", &|to| std::fs::write(to.join("config.json"), "<!doctype html>").unwrap());
    let pickle = copy("pickle", &|to| {
        std::fs::rename(to.join("model.safetensors"), to.join("pytorch_model.bin")).unwrap();
    });
    let narrow = copy("narrow", &|to| {
        let config = std::fs::read_to_string(to.join("config.json")).unwrap();
        let other = config.replace("\"projection_dim\": ", "\"projection_dim\": 1");
        assert_ne!(config, other);
        std::fs::write(to.join("config.json"), other).unwrap();
    });
    let no_shard = folder.path("no-shard");
    copy_files(&fixture("models/clip-gelu-p32-laion/hf-sharded"), &no_shard);
    std::fs::remove_file(format!("{no_shard}/model-00002-of-00002.safetensors")).unwrap();
    for (path, code, expected) in [
        (folder.path("none"), 6, "cannot read the folder or file"),
        (cut, 4, "the file is truncated or damaged"),
        (page, 3, "a web page"),
        (pickle, 6, "pytorch_model.bin is a pickle"),
        (narrow, 4, "shape mismatch"),
        (no_shard, 6, "shard model-00002-of-00002.safetensors"),
        (folder.path(""), 6, "give one of them"),
    ] {
        let ran = clipwright(&["info", &path]).expect(code);
        assert!(ran.stderr.contains(expected) && ran.stdout.is_empty(), "{path}: {}", ran.stderr);
    }
}
