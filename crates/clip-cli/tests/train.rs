//! `train`: a run, its events and files, and how it is stopped and goes on.

mod common;

use std::io::Write;

use common::{Emoji, Folder, Ran, TINY, class_folders, clipwright, contents, fixture, names, training, watched};
use flate2::Compression;
use flate2::write::GzEncoder;

/// A run with two threads.
fn emoji() -> Emoji {
    Emoji::new(TINY, "2")
}

#[test]
fn a_run_logs_its_steps_and_ends_with_a_model() {
    let emoji = emoji();
    let more = ["--val-data", &emoji.data, "--save-frequency", "1", "--report-to", "tensorboard"];
    let ran = emoji.train(&more).expect(0);
    let start = &ran.of("start")[0];
    assert_eq!(
        (&start["pairs"], &start["totalSteps"], &start["device"]["kind"]),
        (&413.into(), &12.into(), &"cpu".into())
    );
    // cut to the captions
    assert!(start["vocabSize"].as_u64().unwrap() < 2000, "{start}");
    assert_eq!(ran.of("step").len(), 12);
    assert_eq!(ran.of("evaluation").iter().map(|event| event["step"].clone()).collect::<Vec<_>>(), [6, 12]);
    assert_eq!(ran.of("done")[0]["step"], 12);
    let folder = emoji.folder.path("logs/run");
    assert_eq!(
        names(&folder),
        ["checkpoints", "evaluations.csv", "model.safetensors", "settings.json", "steps.csv", "tensorboard"]
    );
    assert_eq!(names(format!("{folder}/tensorboard")).len(), 1);
    let states = [".lock", "epoch-0001.clip", "epoch-0002.clip", "latest.clip"];
    assert_eq!(names(format!("{folder}/checkpoints")), states);
    let rows = std::fs::read_to_string(format!("{folder}/steps.csv")).unwrap();
    assert_eq!(rows.lines().count(), 13);
    let model = clipwright(&["--json", "info", &format!("{folder}/model.safetensors")]).expect(0);
    assert_eq!(model.events()[0]["tokenizer"]["vocabSize"], start["vocabSize"]);
    let state = clipwright(&["--json", "info", &format!("{folder}/checkpoints/epoch-0001.clip")]).expect(0);
    assert_eq!(state.events()[0]["run"]["run"]["step"], 6);

    // a run is not overwritten; a finished one goes on to its end at once
    let again = emoji.train(&[]).expect(7);
    assert!(again.stderr.contains("--resume latest"), "{}", again.stderr);
    let done = emoji.train(&["--resume", "latest"]).expect(0);
    assert_eq!((done.losses().len(), &done.of("done")[0]["step"]), (0, &12.into()));
    // nor by a run that goes on from elsewhere
    let elsewhere = emoji.folder.path("elsewhere.clip");
    std::fs::copy(format!("{folder}/checkpoints/epoch-0001.clip"), &elsewhere).unwrap();
    emoji.train(&["--resume", &elsewhere]).expect(7);
    assert_eq!(emoji.train(&["--resume", &elsewhere, "--name", "on"]).expect(0).losses().len(), 6);
    // another run from the model, or from the state
    for from in [format!("{folder}/model.safetensors"), format!("{folder}/checkpoints/latest.clip")] {
        let config = emoji.folder.file("more.toml", "[fit]\nbatchSize = 64\ntruncate = true");
        let logs = emoji.folder.path("more");
        let more =
            clipwright(&training([&config, &emoji.data, &logs], "2", &["--from", &from, "--epochs", "1"])).expect(0);
        assert_eq!(more.losses().len(), 6);
        std::fs::remove_dir_all(logs).unwrap();
    }
}

#[test]
fn a_stopped_run_goes_on_as_if_it_had_not_been_stopped() {
    let emoji = emoji();
    let whole = emoji.train(&["--name", "whole", "--augment"]).expect(0).losses();
    assert_eq!(whole.len(), 12);
    for (signal, code, step) in [("INT", 130, "\"step\":2,"), ("TERM", 143, "\"step\":8,")] {
        let more = ["--name", signal, "--augment"];
        let stopped = watched(&emoji.flags(&more), |child, line| {
            // once: a second signal ends it at once
            if line.contains("\"type\":\"step\"") && line.contains(step) {
                let sent = std::process::Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
                assert!(sent.unwrap().success());
            }
        })
        .expect(code);
        let error = stopped.of("error").remove(0);
        assert_eq!(error["exitCode"], code);
        assert!(stopped.stderr.contains("--resume latest"), "{}", stopped.stderr);
        let first = stopped.losses();
        assert!(first.len() < 12, "the run ended before the signal");
        let rest = emoji.train(&["--name", signal, "--resume", "latest"]).expect(0);
        assert_eq!([first, rest.losses()].concat(), whole);
        let models = ["whole", signal]
            .map(|name| std::fs::read(emoji.folder.path(&format!("logs/{name}/model.safetensors"))).unwrap());
        assert!(models[0] == models[1]);
    }
}

#[test]
fn images_that_are_read_again_for_each_step_give_the_same_run() {
    let emoji = emoji();
    let held = emoji.train(&["--name", "held"]).expect(0);
    let again = emoji.train(&["--name", "again", "--image-memory", "0", "--workers", "1"]).expect(0);
    assert_eq!(held.losses(), again.losses());
    let waiting = |ran: &Ran| ran.of("step").iter().map(|step| step["waiting"].as_f64().unwrap()).sum::<f64>();
    assert!(waiting(&held) == 0.0 && waiting(&again) > 0.0);
    // which a compressed tar file does not allow
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&std::fs::read(&emoji.data).unwrap()).unwrap();
    let packed = emoji.folder.file("packed.tar.gz", packer.finish().unwrap());
    let train = |more: &[&str]| clipwright(&training([&emoji.config, &packed, &emoji.logs], "2", more));
    assert_eq!(train(&["--name", "packed"]).expect(0).losses(), held.losses());
    let refused = train(&["--name", "refused", "--image-memory", "0"]).expect(2);
    let expected = "which a compressed tar file, or a server without ranges, does not give a second time";
    assert!(refused.stderr.contains(expected) && refused.stderr.contains("packed.tar.gz"), "{}", refused.stderr);
}

#[test]
fn a_killed_run_loses_only_the_steps_since_its_last_save() {
    let emoji = emoji();
    let whole = emoji.train(&["--name", "whole"]).expect(0).losses();
    let mut kills = 0;
    let ended = loop {
        let name = ["--name", "killed", "--save-steps", "1", "--resume", "latest"];
        let mut saves = 0;
        let ran = watched(&emoji.flags(&name), |child, line| {
            saves += usize::from(line.contains("\"type\":\"saved\""));
            // while the third state is being written, or soon after
            if saves == 2 && line.contains("\"type\":\"step\"") {
                child.kill().unwrap();
            }
        });
        // at every moment the state is whole
        clipwright(&["info", &emoji.latest("killed")]).expect(0);
        if ran.code == 0 {
            break ran;
        }
        kills += 1;
        assert!(kills < 20);
    };
    assert!(kills >= 2, "{kills}");
    // before its first save it had nothing to lose: the same command begins it again
    let early = ["--name", "early", "--resume", "latest"];
    watched(&emoji.flags(&early), |child, _| child.kill().unwrap());
    assert_eq!(emoji.train(&early).expect(0).losses(), whole);
    assert_eq!(ended.losses().last(), whole.last());
    let rows = |name: &str| {
        let text = std::fs::read_to_string(emoji.folder.path(&format!("logs/{name}/steps.csv"))).unwrap();
        text.lines().map(|row| row.split(',').take(3).collect::<Vec<_>>().join(",")).collect::<Vec<_>>()
    };
    assert_eq!(rows("killed"), rows("whole"));
}

#[test]
fn another_runs_settings_or_pairs_are_refused() {
    let emoji = emoji();
    emoji.train(&["--epochs", "1"]).expect(0);
    let latest = emoji.latest("run");
    let refused = |more: &[&str], code: i32, expected: &str| {
        let ran = emoji.train(&[&["--resume", &latest, "--epochs", "1"], more].concat()).expect(code);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
        ran.of("error")[0]["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(&["--lr", "0.5"], 10, "lr: the run to resume has 0.001, got 0.5"), "other-settings");
    assert_eq!(refused(&["--seed", "9"], 10, "seed: the run to resume has 1, got 9"), "other-settings");
    let from = emoji.train(&["--resume", "latest", "--epochs", "1", "--from", &latest]).expect(10);
    assert!(from.stderr.contains("from: the run to resume has none, got "), "{}", from.stderr);
    let tokenizer = emoji.train(&["--resume", "latest", "--epochs", "1", "--tokenizer", "hf"]).expect(10);
    assert!(tokenizer.stderr.contains("tokenizer: the run to resume has none, got hf"), "{}", tokenizer.stderr);
    let other = emoji.folder.file("other.toml", TINY.replace("embedDim = 16", "embedDim = 32"));
    assert_eq!(refused(&["--model", "ViT-B-32"], 2, "none beside [config]"), "invalid-option");
    let ran = clipwright(&training([&other, &emoji.data, &emoji.logs], "2", &["--resume", &latest, "--epochs", "1"]))
        .expect(10);
    assert!(ran.stderr.contains("the model's shape"), "{}", ran.stderr);
    let twice = format!("{}::{}", emoji.data, emoji.data);
    let ran = clipwright(&training([&emoji.config, &twice, &emoji.logs], "2", &["--resume", &latest, "--epochs", "1"]))
        .expect(5);
    assert_eq!(ran.of("error")[0]["code"], "count-mismatch");
}

#[test]
fn wrong_input_has_its_own_exit_code_and_leaves_no_run() {
    let emoji = emoji();
    let cut = emoji.folder.file("cut.tar", &std::fs::read(&emoji.data).unwrap()[..100_000]);
    let unknown = emoji.folder.file("unknown.toml", "batch = 3");
    let internal = emoji.folder.file("internal.toml", TINY.replace("batchSize", "batch_size"));
    let shapeless = emoji.folder.file("shapeless.toml", "[config]\nembedDim = 16\n");
    // before the pairs are read: at the end of the run it would be too late
    let sigmoid = emoji.folder.file("sigmoid.toml", TINY.replace("[config]", "[config]\nobjective = \"sigmoid\""));
    let train = |config: &str, data: &str, more: &[&str]| clipwright(&training([config, data, &emoji.logs], "2", more));
    for (ran, code, expected) in [
        (train(&emoji.config, "no-{00..02}.tar", &[]), 6, "no-00.tar"),
        (train(&emoji.config, &cut, &[]), 5, "truncated tar"),
        (train(&unknown, &emoji.data, &[]), 3, "unknown setting batch"),
        (train(&emoji.folder.path("none.toml"), &emoji.data, &[]), 6, "none.toml"),
        (train(&emoji.config, &emoji.data, &["--batch-size", "1"]), 5, "batch too small"),
        (train(&emoji.config, &emoji.data, &["--lr", "fast"]), 2, "invalid option lr (--lr)"),
        (
            train(&emoji.config, &emoji.data, &["--val-frequency", "0"]),
            2,
            "invalid option valFrequency (--val-frequency)",
        ),
        (train(&emoji.config, &emoji.data, &["--images", "x"]), 2, "none without a table that names them"),
        (train(&emoji.config, &emoji.data, &["--cache-dir", "x"]), 2, "nothing is downloaded"),
        (train(&internal, &emoji.data, &[]), 2, "internal.toml: invalid option batch_size"),
        (train(&shapeless, &emoji.data, &[]), 3, "shapeless.toml: invalid config"),
        (
            train(&emoji.config, &emoji.data, &["--lock", "image", "--image-memory", "9"]),
            2,
            "imageMemory (--image-memory): expected none beside lock image",
        ),
        (train(&emoji.config, &emoji.data, &["--templates", "openai"]), 2, "name them by --classify"),
        (train(&emoji.config, &emoji.data, &["--classify", "no-folder"]), 6, "no-folder"),
        (train(&emoji.config, &emoji.data, &["--preset", "vit-h-14"]), 2, "vit-l-14"),
        (train(&sigmoid, &emoji.data, &[]), 2, "open_clip for this model"),
        (train(&emoji.config, &emoji.data, &["--precision", "pure_bf16"]), 2, "bf16 (amp_bf16)"),
        (train(&emoji.config, &emoji.data, &["--torchcompile"]), 2, "leave it out"),
        (train(&emoji.config, &emoji.data, &["--batchsize", "1"]), 2, "--batch-size"),
        (train(&emoji.config, &emoji.data, &["--device", "webgpu"]), 8, "--device cpu"),
        (train(&emoji.config, &emoji.data, &["--device", "cuda:x"]), 2, "cuda or cuda:N"),
        #[cfg(not(feature = "cuda"))]
        (
            train(&emoji.config, &emoji.data, &["--device", "cuda:1"]),
            8,
            "this build has no CUDA; build the program with it: cargo install --locked --path crates/clip-cli --features cuda",
        ),
        (train(&emoji.config, &emoji.data, &["--name", "../x"]), 2, "the name of a folder"),
        (train(&emoji.config, &fixture("cases/caption-encodings"), &[]), 5, "--encoding windows-1252"),
        (train(&emoji.config, &fixture("cases/cut-pictures"), &[]), 5, "no caption"),
    ] {
        let ran = ran.expect(code);
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
        // wrong usage, too
        assert_eq!(ran.of("error").len(), 1, "{}", ran.stdout);
        assert!(!std::path::Path::new(&emoji.logs).exists(), "{expected}");
    }
    // a run that diverged is kept as it was at its last save
    let ran = emoji.train(&["--lr", "1e30", "--warmup", "0"]).expect(9);
    assert!(ran.stderr.contains("not finite"), "{}", ran.stderr);
}

#[test]
fn pairs_of_a_shard_and_names_of_its_members_are_told_safely() {
    let emoji = emoji();
    let shard = emoji.folder.path("b.tar");
    let mut builder = tar::Builder::new(std::fs::File::create(&shard).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_cksum();
    builder.append_data(&mut header, "a\u{1b}[2J.txt", &b"one"[..]).unwrap();
    builder.finish().unwrap();
    let both = format!("{}::{shard}", emoji.data);
    let stopped = clipwright(&training([&emoji.config, &both, &emoji.logs], "2", &[])).expect(5);
    assert!(stopped.stderr.contains("b.tar: caption without an image"), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("a\u{fffd}[2J") && !stopped.stderr.contains('\u{1b}'), "{:?}", stopped.stderr);
}

#[test]
fn a_run_whose_embeddings_are_alike_says_so() {
    let emoji = emoji();
    let more = ["--lr", "1e-30", "--warmup", "0", "--epochs", "18"];
    let ran = emoji.train(&more).expect(0);
    let codes: Vec<String> = ran.of("warning").iter().map(|event| event["code"].to_string()).collect();
    assert!(codes.contains(&"\"embeddings-alike\"".to_owned()), "{codes:?} {}", ran.stderr);
}

#[test]
fn a_run_classifies_images_and_reads_a_preset() {
    let emoji = emoji();
    let images = class_folders(&emoji.folder, &[("red_ball", "train/0.png"), ("sea", "test/0.png")]);
    // what the file says goes over the preset
    let more = ["--preset", "vit-b-32", "--imagenet-val", &images, "--templates", "simple", "--val-frequency", "2"];
    let ran = emoji.train(&[&more[..], &["--report-to", "tensorboard"]].concat()).expect(0);
    let found = ran.of("zeroShot");
    assert_eq!((found.len(), &found[0]["step"], &found[0]["images"]), (1, &12.into(), &2.into()));
    assert_eq!((&found[0]["templates"], &found[0]["top5"]), (&7.into(), &1.0.into()));
    let row = std::fs::read_to_string(emoji.folder.path("logs/run/evaluations.csv")).unwrap();
    let row: Vec<&str> = row.lines().nth(1).unwrap().split(',').collect();
    assert_eq!((row.len(), row[0], row[1], row[10]), (11, "12", "", "1"));
    let settings = std::fs::read_to_string(emoji.folder.path("logs/run/settings.json")).unwrap();
    assert!(settings.contains("\"warmup\": 2000") && settings.contains("\"batchSize\": 64"), "{settings}");
    assert_eq!(ran.of("step")[0]["lr"], 5e-4 / 2000.0);
    // and is that of the run that goes on
    let on = emoji.train(&[&more[..4], &["--resume", "latest"]].concat()).expect(0);
    assert_eq!(on.losses().len(), 0);
}

#[test]
fn adapters_are_written_and_can_be_added_again() {
    let emoji = emoji();
    let model = fixture("models/clip-gelu-p32-laion/open_clip");
    let config = emoji
        .folder
        .file("lora.toml", "[fit]\nbatchSize = 64\nepochs = 1\ntruncate = true\nlora = { rank = 2, alpha = 4 }");
    clipwright(&training([&config, &emoji.data, &emoji.logs], "2", &["--from", &model])).expect(0);
    let run = emoji.folder.path("logs/run");
    assert_eq!(names(format!("{run}/adapter")), ["adapter_config.json", "adapter_model.safetensors"]);
    let merged = emoji.folder.path("merged.safetensors");
    clipwright(&["convert", &model, &merged, "--adapter", &format!("{run}/adapter")]).expect(0);
    let eval = |model: &str| {
        let ran = clipwright(&["--json", "eval", model, "--val-data", &emoji.data, "--truncate", "--device", "cpu"])
            .expect(0);
        ran.of("evaluation").remove(0)["textToImage"].clone()
    };
    let expected = eval(&format!("{run}/model.safetensors"));
    assert_eq!(eval(&merged), expected);
    // a state as a model has its adapters merged
    assert_eq!(eval(&emoji.latest("run")), expected);
}

#[test]
fn a_run_goes_on_where_its_logs_cannot_be_written() {
    let emoji = emoji();
    let steps = emoji.folder.path("logs/run/steps.csv");
    let ran = watched(&emoji.flags(&[]), |_, line| {
        if line.contains("\"step\":1,") {
            // a folder in place of the file
            std::fs::remove_file(&steps).unwrap();
            std::fs::create_dir(&steps).unwrap();
        }
    })
    .expect(0);
    assert_eq!(ran.losses().len(), 12);
    let warnings = ran.of("warning");
    let of_logs: Vec<_> =
        warnings.iter().filter(|event| event["message"].as_str().unwrap().contains("steps.csv")).collect();
    assert_eq!(of_logs.len(), 1, "{warnings:?}");
}

#[test]
fn another_runs_folder_is_left_alone() {
    let emoji = emoji();
    for name in ["a", "b"] {
        emoji.train(&["--name", name, "--epochs", "1", "--save-frequency", "1"]).expect(0);
    }
    let before = contents(&emoji.folder.path("logs/b/checkpoints"));
    let other = emoji.folder.path("logs/a/checkpoints/epoch-0001.clip");
    let refused = emoji.train(&["--name", "b", "--resume", &other, "--epochs", "1"]).expect(7);
    assert!(refused.stderr.contains("another --name"), "{}", refused.stderr);
    assert!(before == contents(&emoji.folder.path("logs/b/checkpoints")));
    // in a new folder it goes on, and leaves all files of a run
    emoji.train(&["--name", "c", "--resume", &other, "--epochs", "1"]).expect(0);
    assert!(names(emoji.folder.path("logs/c")).contains(&"settings.json".to_owned()));
}

#[test]
fn one_process_trains_in_a_folder() {
    let emoji = emoji();
    let mut refused = 0;
    watched(&emoji.flags(&["--epochs", "8"]), |_, line| {
        if line.contains("\"step\":1,") {
            let other = emoji.train(&["--resume", "latest", "--epochs", "8"]);

            assert!(other.code == 7 && other.stderr.contains("another process trains in"), "{}", other.stderr);
            refused += 1;
        }
    })
    .expect(0);
    assert_eq!(refused, 1);
}

#[test]
fn bad_pairs_are_skipped_and_listed() {
    let emoji = emoji();
    let both = format!("{}::{}", fixture("cases/picture-extensions"), emoji.data);
    let more = ["--bad-pairs", "skip", "--epochs", "1"];
    let ran = clipwright(&training([&emoji.config, &both, &emoji.logs], "2", &more)).expect(0);
    // a folder is read while the only thread of the pool waits for its samples
    let one = clipwright(&training(
        [&emoji.config, &both, &emoji.logs],
        "2",
        &[&more[..], &["--threads", "1", "--name", "one"]].concat(),
    ));
    assert_eq!(one.expect(0).losses(), ran.losses());
    let skipped = ran.of("skipped");
    assert_eq!((skipped.len(), &ran.of("start")[0]["pairs"]), (2, &415.into()));
    assert!(skipped[0]["message"].as_str().unwrap().contains("HEIC"), "{skipped:?}");
}

#[test]
fn people_read_lines_and_programs_read_completions() {
    let emoji = emoji();
    let flags = emoji.flags(&["--epochs", "1", "--val-data", &emoji.data]);
    let ran = clipwright(&flags[1..]).expect(0);
    assert!(
        ran.stdout.starts_with("trained 6 steps to a loss of ") && ran.stdout.lines().count() == 1,
        "{}",
        ran.stdout
    );
    for expected in ["computing on the cpu", "413 pairs, 6 steps", "step 6: text → image R@1 "] {
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    }
    let help = clipwright(&["--help"]).expect(0);
    assert!(help.stdout.contains("130  stopped by Ctrl-C"), "{}", help.stdout);
    for shell in ["bash", "zsh", "fish"] {
        assert!(clipwright(&["completions", shell]).expect(0).stdout.contains("save-frequency"), "{shell}");
    }
}

#[test]
fn steps_and_encoding_are_measured() {
    let folder = Folder::new();
    let config = folder.file("run.toml", TINY);
    let bench = ["--json", "bench", "--config", &config, "--batch-size", "8", "--repeat", "3", "--device", "cpu"];
    let found = clipwright(&bench).expect(0).of("bench").remove(0);
    for what in ["encodeImages", "encodeTexts", "step"] {
        assert_eq!(found[what]["seconds"].as_array().unwrap().len(), 3);
        assert!(found[what]["perSecond"].as_f64().unwrap() > 0.0, "{found}");
    }
    let encoding = clipwright(&[&bench[..], &["--no-step"]].concat()).expect(0);
    assert!(encoding.of("bench")[0].get("step").is_none());
    // the config of a run says more than what is measured
    let own = TINY.replace("batchSize = 64", "batchSize = 4");
    let config = folder.file("own.toml", format!("threads = 1\ntrainData = \"a.tar\"\n{own}"));
    let bench = ["--json", "bench", "--config", &config, "--repeat", "1", "--no-step", "--device", "cpu"];
    let ran = clipwright(&bench).expect(0);
    let found = &ran.of("bench")[0];
    assert_eq!((&found["batchSize"], &found["device"]["threads"]), (&4.into(), &1.into()));
    let warning = "of the config file, bench does not use trainData, fit.epochs, fit.truncate";
    assert_eq!(ran.of("warning")[0]["message"], warning);
    let step = clipwright(&[&bench[..], &["--precision", "f16"]].concat()).expect(2);
    assert!(step.stderr.contains("--no-step"), "{}", step.stderr);
    let both = clipwright(&[&bench[..], &["--model", "ViT-B-32"]].concat()).expect(2);
    assert!(both.stderr.contains("none beside [config]"), "{}", both.stderr);
    clipwright(&["bench", "--model", "ViT-H-14"]).expect(2);
}

#[cfg(not(feature = "mpi"))]
#[test]
fn one_of_several_processes_needs_mpi() {
    let emoji = emoji();
    let ran = common::finished(common::command(&emoji.flags(&[])).env("OMPI_COMM_WORLD_SIZE", "2")).expect(11);
    assert!(ran.stderr.contains("build it with --features mpi"), "{}", ran.stderr);
    assert_eq!(ran.of("error")[0]["code"], "no-mpi");
}
