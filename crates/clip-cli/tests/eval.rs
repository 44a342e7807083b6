//! `eval`: retrieval and zero-shot classification.

mod common;

use common::{Folder, TINY, class_folders, clipwright, fixture, repository};

const MODEL: &str = "models/clip-gelu-p16-eos/hf";

#[test]
fn retrieval_is_that_of_the_run() {
    let folder = Folder::new();
    let (config, data) = (folder.file("run.toml", TINY), repository("examples/data/emoji-heldout.tar"));
    let logs = folder.path("logs");
    let train = [
        "--json",
        "train",
        "--config",
        &config,
        "--train-data",
        &data,
        "--val-data",
        &data,
        "--logs",
        &logs,
        "--device",
        "cpu",
    ];
    let trained = clipwright(&train).expect(0);
    let model = format!("{logs}/run/model.safetensors");
    let eval = ["--json", "eval", &model, "--val-data", &data, "--truncate", "--device", "cpu"];
    let evaluated = clipwright(&eval).expect(0).of("evaluation").remove(0);
    let last = trained.of("evaluation").pop().unwrap();
    for key in ["imageToText", "textToImage", "grouped"] {
        assert_eq!(evaluated[key], last[key]);
    }
    // a training state is evaluated as the model that its run writes
    let state = format!("{logs}/run/checkpoints/latest.clip");
    let of_state = [&eval[..2], &[&state], &eval[3..]].concat();
    assert_eq!(clipwright(&of_state).expect(0).of("evaluation")[0]["textToImage"], last["textToImage"]);
    let folder_of_states = [&eval[..2], &[state.rsplit_once('/').unwrap().0], &eval[3..]].concat();
    let named = clipwright(&folder_of_states).expect(6);
    assert!(named.stderr.contains("latest.clip is a training state: name the file itself"), "{}", named.stderr);
    // templates are those of classes
    let templates = clipwright(&[&eval[..], &["--templates", "simple"]].concat()).expect(2);
    assert!(templates.stderr.contains("--classify"), "{}", templates.stderr);
    let among = clipwright(&[&eval[..], &["--distractors", &data]].concat()).expect(0).of("evaluation").remove(0);
    assert_eq!(among["textToImage"]["queries"], evaluated["textToImage"]["queries"]);
    let text = clipwright(&eval[1..]).expect(0).stdout;
    assert!(text.starts_with("413 pairs\ntext → image  R@1 "), "{text}");
}

#[test]
fn images_are_classified_by_the_names_of_their_classes() {
    let folder = Folder::new();
    let rows = [("red_ball", "train/0.png"), ("red_ball", "train/1.png"), ("sea", "test/0.png")];
    let images = class_folders(&folder, &rows);
    let eval = |more: &[&str]| {
        clipwright(&[&["--json", "eval", &fixture(MODEL), "--classify", &images, "--device", "cpu"], more].concat())
    };
    let found = eval(&[]).expect(0).of("zeroShot").remove(0);
    assert_eq!((&found["images"], &found["classes"], &found["templates"]), (&3.into(), &2.into(), &80.into()));
    assert_eq!(found["top5"], 1.0);
    let names = folder.file("names.txt", "a\nb\n");
    let own = eval(&["--class-names", &names, "--templates", "a photo of {}.", "--templates", "simple"]).expect(0);
    assert_eq!(own.of("zeroShot")[0]["templates"], 8);
    for (more, code, expected) in [
        (&["--templates", "imagenet"][..], 2, "openai, simple, or a caption with {}"),
        (&["--class-names", &folder.file("three.txt", "a\nb\nc")], 5, "3 names for 2 subfolders"),
        (&["--dtype", "int4"], 2, "auto, f32 or q8"),
        (&["--caption-column", "a"], 2, "captionColumn (--caption-column): expected none without pairs to read"),
    ] {
        let ran = eval(more).expect(code);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
    let cut = folder.path("images/sea/cut.jpg");
    std::fs::copy(fixture("cases/cut-pictures/cut0.5.jpg"), cut).unwrap();
    assert!(eval(&[]).expect(5).stderr.contains("--bad-pairs skip leaves it out"));
    let skipping = eval(&["--bad-pairs", "skip"]).expect(0);
    assert_eq!((&skipping.of("zeroShot")[0]["images"], skipping.of("warning").len()), (&3.into(), 1));
    clipwright(&["eval", &fixture(MODEL)]).expect(2);
}
