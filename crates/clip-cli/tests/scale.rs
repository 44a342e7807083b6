//! Training on several ranks, under `mpirun`: `npm run test:scale` runs it. Without an MPI it fails.

#![cfg(feature = "mpi")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use clip_core::checkpoint::Header;
use common::{Emoji, Folder, Ran, TINY, clipwright, command, finished, mpirun, repository, watching};

/// A run with one thread a rank.
fn emoji(config: &str) -> Emoji {
    Emoji::new(config, "1")
}

/// Trains on so many ranks; one is started as any program.
fn train(emoji: &Emoji, ranks: usize, more: &[&str]) -> Ran {
    match ranks {
        1 => emoji.train(more),
        _ => finished(mpirun(&[(ranks, &emoji.flags(more))])),
    }
}

/// Tensors of the model that a run ended with.
fn weights(emoji: &Emoji, name: &str) -> Vec<(String, Vec<f32>)> {
    let file = std::fs::read(format!("{}/{name}/model.safetensors", emoji.logs)).unwrap();
    let header = Header::parse(&file, file.len() as u64).unwrap();
    let tensor = |name: &str| {
        let (begin, end) = header.bytes_of(header.tensor(name).unwrap());
        let values = file[begin as usize..end as usize].as_chunks().0;
        (name.to_owned(), values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    };
    let mut names: Vec<&str> = header.names().collect();
    names.sort_unstable();
    names.into_iter().map(tensor).collect()
}

/// Processes that `mpirun` started.
fn ranks_of(mpirun: u32) -> Vec<String> {
    let children = std::fs::read_to_string(format!("/proc/{mpirun}/task/{mpirun}/children")).unwrap();
    children.split_whitespace().map(str::to_owned).collect()
}

fn signal(name: &str, process: &str) {
    assert!(Command::new("kill").args(["-s", name, process]).status().unwrap().success());
}

fn is_step(line: &str, step: usize) -> bool {
    line.contains("\"type\":\"step\"") && line.contains(&format!("\"step\":{step},"))
}

/// Values of a step: near, as sums are rounded in another order.
fn assert_same_steps(got: &[serde_json::Value], expected: &[serde_json::Value], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        for (name, least) in [("loss", 0.1), ("gradientNorm", 1.0), ("logitScale", 0.1)] {
            let [a, b] = [got, expected].map(|step| step[name].as_f64().unwrap());
            assert!((a - b).abs() <= tolerance * b.abs().max(least), "{name}: {got} {expected}");
        }
        for name in ["step", "epoch", "batchSize", "lr"] {
            assert_eq!(got[name], expected[name]);
        }
    }
}

/// Whether a value is added to all keys: the softmax is the same without it, and its gradient is nothing but rounding.
fn is_added_to_keys(name: &str, at: usize, count: usize) -> bool {
    name.ends_with("k_proj.bias") || name.ends_with("in_proj_bias") && at / (count / 3) == 1
}

/// Compares runs of one batch of 64 on 1, 2 and 4 ranks: each step, and the weights after the last.
fn assert_equal_on_ranks(config: &str, more: &[&str], tolerance: f64) {
    let emoji = emoji(config);
    let run = |ranks: usize| {
        let name = format!("ranks-{ranks}");
        let ran = train(&emoji, ranks, &[&["--name", &name], more].concat()).expect(0);
        assert_eq!(ran.of("start")[0]["ranks"], ranks);
        // one of them speaks
        assert_eq!((ran.of("start").len(), ran.of("done").len(), ran.of("warning").len()), (1, 1, 0));
        (ran.of("step"), weights(&emoji, &name))
    };
    let (steps, weights) = run(1);
    assert_eq!(steps.len(), 12);
    for ranks in [2, 4] {
        let (got_steps, got_weights) = run(ranks);
        assert_same_steps(&got_steps, &steps, tolerance);
        for ((name, got), (_, expected)) in got_weights.iter().zip(&weights) {
            let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
            let both = got.iter().zip(expected).enumerate().filter(|(at, _)| !is_added_to_keys(name, *at, got.len()));
            let worst = both.fold(0f32, |most, (_, (a, b))| most.max((a - b).abs()));
            assert!(f64::from(worst) <= 10.0 * tolerance * f64::from(largest), "{name}: {worst} of {largest}");
        }
        assert_eq!(got_weights.len(), weights.len());
    }
}

#[test]
fn one_batch_on_one_two_or_four_ranks_is_the_same_run() {
    assert_equal_on_ranks(TINY, &["--clip-norm", "1"], 1e-4);
}

#[test]
fn micro_batches_within_ranks_are_the_same_run_with_every_draw() {
    let more = [
        "--micro-batch-size",
        "6",
        "--activation-checkpointing",
        "--augment",
        "--augment-flip",
        "0.5",
        "--patch-dropout",
        "0.5",
        "--mask-duplicates",
        "--label-smoothing",
        "0.1",
        "--muon-lr",
        "0.01",
    ];
    assert_equal_on_ranks(TINY, &more, 1e-4);
}

#[test]
fn the_sigmoid_loss_is_the_same_run() {
    let config = TINY.replace("[config]", "[config]\nobjective = \"sigmoid\"");
    assert_equal_on_ranks(&config, &["--image-memory", "0", "--export", "open_clip"], 1e-4);
}

#[test]
fn a_locked_tower_and_half_precision_are_the_same_run() {
    assert_equal_on_ranks(TINY, &["--lock", "image", "--ema-decay", "0.9"], 1e-4);
    assert_equal_on_ranks(TINY, &["--precision", "f16"], 1e-2);
}

#[test]
fn ranks_exchange_what_plan_foretells() {
    let emoji = emoji(TINY);
    let more = ["--micro-batch-size", "6", "--lock", "text", "--last-blocks", "0"];
    for (ranks, more) in [(1, &[][..]), (2, &[]), (4, &[]), (2, &more)] {
        let name = format!("plan-{ranks}-{}", more.len());
        let ran = train(&emoji, ranks, &[&["--name", &name, "--epochs", "1"], more].concat()).expect(0);
        let (start, done) = (ran.of("start").remove(0), ran.of("done").remove(0));
        let (vocabulary, count) = (start["vocabSize"].to_string(), ranks.to_string());
        let asked = ["--json", "plan", "--gpus", &count, "--config", &emoji.config, "--vocab-size", &vocabulary];
        let plan = clipwright(&[&asked[..], more].concat()).expect(0).of("plan").remove(0);
        if ranks == 1 {
            assert_eq!((&done["exchanged"], &plan["exchanged"]["exchanges"]), (&serde_json::Value::Null, &0.into()));
            continue;
        }
        for what in ["exchanges", "handedBytes", "sentBytes"] {
            let [each, steps] = [&plan["exchanged"][what], &done["step"]].map(|value| value.as_u64().unwrap());
            assert_eq!(done["exchanged"][what], each * steps, "{what}, {more:?}, {ranks} ranks");
        }
    }
}

#[test]
fn the_link_between_ranks_is_measured() {
    let ran = finished(mpirun(&[(2, &["--json", "bench", "--link"])])).expect(0);
    let link = &ran.of("link")[0];
    let [latency, bandwidth] = ["latencySeconds", "bytesPerSecond"].map(|name| link[name].as_f64().unwrap());
    // a minute would be no link, and neither would a byte a second
    assert!((1e-9..60.0).contains(&latency) && bandwidth > 1e3 && link["ranks"] == 2, "{link}");
    let folder = Folder::new();
    let file = folder.file("link.json", &ran.stdout);
    let flags = ["--json", "plan", "--gpus", "2", "--model", "ViT-B-32", "--batch-size", "64", "--link", &file];
    let plan = clipwright(&flags).expect(0).of("plan").remove(0);
    assert!(plan["step"]["exchangeSeconds"].as_f64().unwrap() > 605e6 / bandwidth, "{plan}");
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let emoji = emoji(TINY);
    let whole = train(&emoji, 1, &["--name", "whole", "--augment"]).expect(0).of("step");
    let more = ["--name", "elastic", "--augment", "--resume", "latest", "--val-data", &emoji.data];
    let mut steps = Vec::new();
    // one rank has the signal, all end at the same step
    let first = watching(mpirun(&[(2, &emoji.flags(&more))]), |child, line| {
        if is_step(line, 3) {
            signal("USR1", &ranks_of(child.id())[1]);
        }
    })
    .expect(138);
    let error = &first.of("error")[0];
    assert_eq!(
        (&error["code"], &error["exitCode"], first.of("error").len()),
        (&"asked-to-stop".into(), &138.into(), 1)
    );
    steps.extend(first.of("step"));
    // mpirun passes the signal on
    let second = watching(mpirun(&[(4, &emoji.flags(&more))]), |child, line| {
        if is_step(line, 8) {
            signal("USR1", &child.id().to_string());
        }
    })
    .expect(138);
    assert_eq!(second.of("evaluation").len(), 1);
    steps.extend(second.of("step"));
    assert!((3..12).contains(&steps.len()), "{}", steps.len());
    steps.extend(train(&emoji, 1, &more).expect(0).of("step"));
    assert_same_steps(&steps, &whole, 1e-4);
}

#[test]
fn a_killed_rank_ends_the_others_within_seconds() {
    let emoji = emoji(&TINY.replace("epochs = 2", "epochs = 2000"));
    for lost in [1, 0] {
        let name = format!("lost-{lost}");
        let more = ["--name", &name, "--save-steps", "2"];
        let mut killed = None;
        let ran = watching(mpirun(&[(4, &emoji.flags(&more))]), |child, line| {
            if is_step(line, 5) {
                killed = Some((Instant::now(), ranks_of(child.id())[lost].clone()));
                signal("KILL", &killed.as_ref().unwrap().1);
            }
        });
        let (at, process) = killed.unwrap();
        assert!(at.elapsed() < Duration::from_secs(5), "{:?}", at.elapsed());
        assert_ne!(ran.code, 0);
        // which rank it is depends on the order in which they were started
        let expected = format!("(process {process} on ");
        assert!(ran.stderr.contains(&expected) && ran.stderr.contains("--resume latest"), "{}", ran.stderr);
        let errors = ran.of("error");
        assert!(errors.len() == 1 && errors[0]["code"] == "rank-lost" && errors[0]["exitCode"] == 12, "{errors:?}");
        // the state is whole, and other ranks go on from it
        clipwright(&["info", &emoji.latest(&name)]).expect(0);
        let rest =
            watching(mpirun(&[(2, &emoji.flags(&[&more[..], &["--resume", "latest"]].concat()))]), |child, line| {
                if line.contains("\"type\":\"step\"") {
                    signal("USR1", &child.id().to_string());
                }
            });
        assert_eq!(rest.expect(138).of("start")[0]["step"], 4);
    }
}

#[test]
fn what_ranks_cannot_train_together_is_refused() {
    let emoji = emoji(TINY);
    let refused = |ran: Ran, exit: i32, code: &str, expected: &str| {
        let ran = ran.expect(exit);
        let errors = ran.of("error");
        assert!(errors.len() == 1 && errors[0]["code"] == code, "{errors:?}");
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    };
    refused(train(&emoji, 3, &[]), 2, "invalid-option", "a multiple of the 3 ranks that share each batch, got 64");
    refused(train(&emoji, 2, &["--lr", "x"]), 2, "invalid-option", "expected a number");
    let pair = |one: &[&str], other: &[&str]| finished(mpirun(&[(1, &emoji.flags(one)), (1, &emoji.flags(other))]));
    refused(pair(&[], &["--lr", "0.5"]), 11, "other-ranks", "the options of the run: rank 0 has");
    refused(pair(&["--seed", "1"], &["--seed", "2"]), 11, "other-ranks", "rank 1 has");
    let shape = emoji.folder.file("other.toml", TINY.replace("embedDim = 16", "embedDim = 32"));
    refused(pair(&[], &["--config", &shape]), 11, "other-ranks", "the model's shape");
    // the same number of pairs, in another order
    let halves = [("a", "b"), ("b", "a")].map(|(first, second)| {
        let row = |name: &str| format!("{},\"an emoji {name}\"\n", repository("test/fixtures/pictures/files/rgba.png"));
        let rows = format!("image,caption\n{}{}", row(first), row(second));
        emoji.folder.file(&format!("{first}.csv"), rows)
    });
    let [a, b] = halves.each_ref().map(|table| ["--train-data", table.as_str(), "--batch-size", "2"]);
    refused(pair(&a, &b), 11, "other-ranks", "the SHA-256 of the pairs");
    refused(pair(&[], &["--train-data", "none.tar"]), 6, "source-unreadable", "rank 1: ");
    // the first one cannot write; the others wait for it at the first step
    let file = emoji.folder.file("file", "");
    refused(train(&emoji, 2, &["--logs", &file]), 7, "target-unwritable", "file");
    assert!(!std::path::Path::new(&emoji.logs).exists());
}

#[test]
fn a_launcher_of_another_mpi_is_refused() {
    let emoji = emoji(TINY);
    let ran = finished(command(&emoji.flags(&[])).env("PMI_SIZE", "2")).expect(11);
    assert!(ran.stderr.contains("MPI joined 1"), "{}", ran.stderr);
}
