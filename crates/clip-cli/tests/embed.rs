//! `embed`: what it writes, and that it goes on after a kill.

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::{Folder, clipwright, command, contents, copy_files, fixture, names, npy, repository, watched};

const MODEL: &str = "models/clip-gelu-p32-laion/open_clip";

fn flags<'a>(model: &'a str, data: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let base = [
        "--json",
        "embed",
        model,
        "--data",
        data,
        "--out",
        out,
        "--part-size",
        "100",
        "--device",
        "cpu",
        "--threads",
        "2",
    ];
    base.iter().copied().chain(more.iter().copied()).collect()
}

#[test]
fn each_part_has_its_embeddings_and_keys() {
    let folder = Folder::new();
    let (model, emoji, out) = (fixture(MODEL), repository("examples/data/emoji-heldout.tar"), folder.path("out"));
    let data = format!("{emoji}::{}", fixture("cases/picture-extensions"));
    let ran = clipwright(&flags(&model, &data, &out, &["--texts", "--truncate"])).expect(0);
    let done = &ran.of("embedDone")[0];
    // HEIC and AVIF
    assert_eq!((&done["embedded"], &done["skipped"]), (&415.into(), &2.into()));
    let [busy, seconds] = ["busy", "seconds"].map(|name| done[name].as_f64().unwrap());
    assert!(busy > 0.0 && busy <= 1.0 && seconds > 0.0, "{busy} of {seconds} s");
    let files = contents(&out);
    assert_eq!(files.keys().filter(|name| name.starts_with("emoji-heldout-") && name.ends_with(".npy")).count(), 10);
    let skipped = String::from_utf8(files["picture-extensions-00000.skipped.jsonl"].clone()).unwrap();
    assert!(skipped.contains("HEIC"), "{skipped}");
    let rows = files["emoji-heldout-00004.jsonl"].iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(rows, 13);
    let array = &files["emoji-heldout-00004.npy"];
    assert!(array.starts_with(b"\x93NUMPY"));
    let values = npy(array);
    let length: f32 = values[..values.len() / rows].iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-4, "{length}");

    // again: nothing is computed
    let again = clipwright(&flags(&model, &data, &out, &["--texts", "--truncate"])).expect(0);
    assert_eq!((&again.of("embedDone")[0]["embedded"], &again.of("embedDone")[0]["busy"]), (&415.into(), &0.0.into()));
    assert!(contents(&out) == files);
    let stopped = clipwright(&flags(&model, &data, &folder.path("stop"), &["--bad-pairs", "stop"])).expect(5);
    assert!(stopped.stderr.contains("HEIC"), "{}", stopped.stderr);
    // another model or part size does not get mixed in
    let mixed = clipwright(&flags(&model, &data, &out, &["--part-size", "50"])).expect(10);
    assert!(mixed.stderr.contains("partSize: begun with 100, got 50: choose another folder"), "{}", mixed.stderr);
    // the same weights elsewhere, and others
    let copy = folder.path("copy");
    copy_files(&model, &copy);
    clipwright(&flags(&copy, &data, &out, &["--texts", "--truncate"])).expect(0);
    let weights = format!("{copy}/open_clip_model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(weights, bytes).unwrap();
    let other = clipwright(&flags(&copy, &data, &out, &["--texts", "--truncate"])).expect(10);
    assert!(other.stderr.contains("weightsSha256: begun with "), "{}", other.stderr);
    let other = clipwright(&flags(&model, &data, &out, &["--texts", "--truncate", "--captions", "lines"])).expect(10);
    assert!(other.stderr.contains("captions: begun with none, got \"lines\""), "{}", other.stderr);
    for (more, expected) in [
        (&["--truncate"][..], "none without captions to embed"),
        (&["--workers", "0"], "invalid option workers (--workers): expected a whole number above 0, got 0"),
    ] {
        let refused = clipwright(&flags(&model, &data, &folder.path("no"), more)).expect(2);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
}

#[test]
fn after_kills_at_any_moment_the_output_is_the_same() {
    let folder = Folder::new();
    let (model, out) = (fixture(MODEL), folder.path("whole"));
    let shards: Vec<String> = (0..3)
        .map(|i| {
            let to = folder.path(&format!("shard-{i}.tar"));
            std::fs::copy(repository("examples/data/emoji-heldout.tar"), &to).unwrap();
            to
        })
        .collect();
    let data = shards.join("::");
    let began = std::time::Instant::now();
    clipwright(&flags(&model, &data, &out, &[])).expect(0);
    let whole = began.elapsed();
    let killed = folder.path("killed");
    let mut kills = 0u32;
    loop {
        // other moments each time, the first ones early: 0, 1/24, 2/24, … of the time of the whole
        let mut child =
            command(&flags(&model, &data, &killed, &[])).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * (kills % 24) / 24 + Duration::from_millis(3));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            break;
        }
        kills += 1;
        assert!(kills < 60);
    }
    clipwright(&flags(&model, &data, &killed, &[])).expect(0);
    assert!(kills >= 3, "{kills}");
    // drafts of killed writes are hidden files; what counts is equal byte by byte
    let mut after = contents(&killed);
    after.retain(|name, _| !name.starts_with('.'));
    assert!(after == contents(&out), "{:?} {:?}", after.keys(), names(&out));

    // each shard by a process of its own, at the same time
    let shared = folder.path("shared");
    std::thread::scope(|scope| {
        for shard in &shards {
            scope.spawn(|| clipwright(&flags(&model, shard, &shared, &[])).expect(0));
        }
    });
    assert!(contents(&shared) == contents(&out));

    // an orderly stop keeps what is done
    let stopped = folder.path("stopped");
    let ran = watched(&flags(&model, &data, &stopped, &[]), |child, line| {
        if line.contains("\"shard-0\"") {
            std::process::Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
        }
    });
    assert!([0, 143].contains(&ran.code), "{}", ran.stderr);
    clipwright(&flags(&model, &data, &stopped, &[])).expect(0);
    assert!(contents(&stopped) == contents(&out));
}
