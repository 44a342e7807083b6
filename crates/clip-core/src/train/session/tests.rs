use super::super::MuonOptions;
use super::super::ranks::testing::on_ranks;
use super::*;
use crate::checkpoint::Header;
use crate::device::{block_on_cpu, cpu};
use crate::model::{MatmulPrecision, Towers};
use crate::preprocess::{Augmentation, RgbImage};
use crate::tokenizer::Reference;

const CONFIG: &str = r#"{"embedDim": 8,
    "vision": {"imageSize": 16, "patchSize": 8, "width": 16, "layers": 1, "heads": 2},
    "text": {"contextLength": 12, "width": 16, "layers": 1, "heads": 2}}"#;
const MERGES: &str = "#version: 0.2\na b</w>\nc d</w>";

fn options() -> RunOptions {
    RunOptions {
        batch_size: 4,
        micro_batch_size: Some(3),
        epochs: 10,
        // not representable in binary
        lr: 1e-3 / 3.0,
        warmup: 3,
        clip_norm: Some(0.7),
        label_smoothing: 0.1,
        mask_duplicates: true,
        seed: 5,
        ..RunOptions::default()
    }
}

fn session() -> TrainingSession {
    let tokenizer = Tokenizer::from_merges(MERGES, Reference::default()).unwrap();
    TrainingSession::create(CONFIG, tokenizer, 3, &cpu()).unwrap()
}

fn image(i: u8, shade: u8) -> RgbImage {
    let levels = (0..768).map(|at| (at as u8).wrapping_mul(i + 1).wrapping_add(shade)).collect();
    RgbImage::new(16, 16, levels).unwrap()
}

fn pairs(session: &TrainingSession, shade: u8) -> PairDataset {
    fill(session, session.new_dataset(), shade)
}

/// Ten pairs: two have the same caption, and every third has a second caption.
fn fill(session: &TrainingSession, mut pairs: PairDataset, shade: u8) -> PairDataset {
    for i in 0..10u8 {
        let image = image(i, shade);
        let caption = format!("ab cd {}", "xyzuvwrst".chars().nth(usize::from(i % 9)).unwrap());
        let more = (i % 3 == 0).then(|| caption.replace("cd", "ef"));
        let captions: Vec<String> = [Some(caption), more].into_iter().flatten().collect();
        pairs.push(&image, &captions, session.tokenizer().unwrap(), false).unwrap();
    }
    pairs
}

fn steps(session: &mut TrainingSession, count: usize) -> Vec<Progress> {
    (0..count).map_while(|_| block_on_cpu(session.step(None)).unwrap()).collect()
}

fn weights(session: &TrainingSession) -> Vec<u8> {
    block_on_cpu(session.bundle().unwrap().save("hf")).unwrap()
}

/// Bytes of a tower's tensors.
fn part(session: &TrainingSession, of_image: bool) -> Vec<u8> {
    let bytes = block_on_cpu(session.bundle().unwrap().save("open_clip")).unwrap();
    let header = Header::parse(&bytes, bytes.len() as u64).unwrap();
    let is_part = |name: &&str| name.starts_with("visual.") == of_image && *name != "logit_scale";
    let mut names: Vec<&str> = header.names().filter(is_part).collect();
    names.sort_unstable();
    let place = |name: &&str| header.bytes_of(header.tensor(name).unwrap());
    names.iter().map(place).flat_map(|(begin, end)| bytes[begin as usize..end as usize].to_vec()).collect()
}

#[test]
fn a_locked_tower_is_unchanged_and_resumes_bit_for_bit() {
    for (lock, micro) in [(Towers::Image, None), (Towers::Image, Some(3)), (Towers::Text, Some(3))] {
        let options = RunOptions { lock: Some(lock), micro_batch_size: micro, ..options() };
        let mut whole = session();
        whole.start(pairs(&whole, 0), &options).unwrap();
        let image = lock == Towers::Image;
        let (locked, free) = (part(&whole, image), part(&whole, !image));
        let expected = steps(&mut whole, 99);
        assert!(part(&whole, image) == locked, "{lock:?}");
        assert!(part(&whole, !image) != free, "{lock:?}");

        // after a restart the features are computed in other batches, with the same result
        let mut first = session();
        first.start(pairs(&first, 0), &options).unwrap();
        let mut got = steps(&mut first, 7);
        let state = block_on_cpu(first.save_state()).unwrap();
        let mut second = TrainingSession::from_state(&state, None, &cpu()).unwrap();
        second.resume_run(pairs(&second, 0)).unwrap();
        got.extend(steps(&mut second, 99));
        assert_eq!(got, expected, "{lock:?}");
        assert!(weights(&second) == weights(&whole), "{lock:?}");
    }
}

#[test]
fn locking_a_tower_leaves_the_first_step_of_the_other_unchanged() {
    let after = |lock| {
        let mut session = session();
        session.start(pairs(&session, 0), &RunOptions { lock, clip_norm: None, ..options() }).unwrap();
        let step = steps(&mut session, 1);
        (step[0].loss, part(&session, false))
    };
    let (free, locked) = (after(None), after(Some(Towers::Image)));
    assert!((free.0 - locked.0).abs() < 1e-6);
    assert_eq!(free.1.len(), locked.1.len());
    let values = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let error = values(&free.1).iter().zip(values(&locked.1)).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(error < 1e-5, "{error}");
}

#[test]
fn a_resumed_run_takes_the_same_steps_bit_for_bit() {
    for done in [0, 1, 10, 19] {
        let mut whole = session();
        assert_eq!(whole.start(pairs(&whole, 0), &options()).unwrap(), 20);
        let expected = steps(&mut whole, 99);
        assert_eq!(expected.len(), 20);

        let mut first = session();
        first.start(pairs(&first, 0), &options()).unwrap();
        let mut got = steps(&mut first, done);
        let state = block_on_cpu(first.save_state()).unwrap();
        let mut second = TrainingSession::from_state(&state, None, &cpu()).unwrap();
        // saved again before the run is resumed
        assert!(block_on_cpu(second.save_state()).unwrap() == state);
        assert_eq!(second.resume_run(pairs(&second, 0)).unwrap(), 20);
        got.extend(steps(&mut second, 99));
        assert_eq!(got, expected, "after {done}");
        assert!(weights(&second) == weights(&whole), "after {done}");
    }
}

#[test]
fn augmented_images_are_requested_a_step_ahead_and_after_a_restart() {
    let part = Augmentation { scale: [0.3, 0.9], ratio: [0.5, 2.0], flip: 0.5 };
    let all = Augmentation { scale: [1.0; 2], ratio: [1.0; 2], flip: 0.0 };
    let with = |augmentation| RunOptions { augment: Some(augmentation), ..options() };
    let make = |session: &TrainingSession, augmentation, ahead| {
        let ImageRequest { epoch, pairs, .. } = session.image_request(ahead)?;
        let augmenter = Augmenter { preprocess: Preprocess::clip(16), augmentation, seed: 5 };
        let square = |pair: usize| augmenter.square(&image(pair as u8, 0), epoch, pair);
        Some(pairs.into_iter().flat_map(square).collect::<Vec<u8>>())
    };
    // makes the images of the next step before each step
    let steps = |session: &mut TrainingSession, augmentation, count| -> Vec<Progress> {
        let mut next = make(session, augmentation, 0);
        let mut done = Vec::new();
        for _ in 0..count {
            let Some(squares) = next else { break };
            next = make(session, augmentation, 1);
            done.extend(block_on_cpu(session.step(Some(&squares))).unwrap());
        }
        done
    };
    let begun = |options: &RunOptions| {
        let mut session = session();
        let pairs = fill(&session, session.run_dataset(options).unwrap(), 0);
        assert_eq!(session.start(pairs, options).unwrap(), 20);
        session
    };
    let mut whole = begun(&with(part));
    let expected = steps(&mut whole, part, 99);
    assert_eq!((expected.len(), whole.image_request(0)), (20, None));

    let mut first = begun(&with(part));
    let mut got = steps(&mut first, part, 7);
    let state = block_on_cpu(first.save_state()).unwrap();
    let mut second = TrainingSession::from_state(&state, None, &cpu()).unwrap();
    assert_eq!(second.resume_run(fill(&second, second.interrupted_dataset().unwrap(), 0)).unwrap(), 20);
    // a step without its images is refused and can be tried again
    for squares in [None, Some(&[0; 5][..])] {
        assert_eq!(block_on_cpu(second.step(squares)).unwrap_err().code(), "shape-mismatch");
    }
    got.extend(steps(&mut second, part, 99));
    assert_eq!(got, expected);
    assert!(weights(&second) == weights(&whole));

    // crops of the whole image equal no augmentation
    let mut plain = session();
    plain.start(pairs(&plain, 0), &options()).unwrap();
    assert_eq!(plain.image_request(0), None);
    let of_plain = self::steps(&mut plain, 99);
    assert_eq!(steps(&mut begun(&with(all)), all, 99), of_plain);
    assert_ne!(expected, of_plain);
    let locked = RunOptions { lock: Some(Towers::Image), ..with(part) };
    assert!(locked.validate().unwrap_err().to_string().contains("augment"));
    assert!(with(Augmentation { flip: 2.0, ..part }).validate().is_err());
    assert_eq!(session().interrupted_dataset().err().unwrap().code(), "no-run");
}

#[test]
fn half_precision_is_close_to_full_precision_and_resumes_bit_for_bit() {
    let mut full = session();
    full.start(pairs(&full, 0), &options()).unwrap();
    let expected = steps(&mut full, 99);
    let (f16, bf16) = (MatmulPrecision::F16, MatmulPrecision::Bf16);
    for (precision, checkpointing, of_loss, of_norm) in
        [(f16, false, 0.01, 0.05), (f16, true, 0.01, 0.05), (bf16, false, 0.02, 0.1), (bf16, true, 0.02, 0.1)]
    {
        let micro_batch_size = checkpointing.then_some(3);
        let half = RunOptions { precision, activation_checkpointing: checkpointing, micro_batch_size, ..options() };
        let mut whole = session();
        whole.start(pairs(&whole, 0), &half).unwrap();
        let got = steps(&mut whole, 99);
        assert_ne!(got[0].loss, expected[0].loss);
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got.loss - expected.loss).abs() < of_loss * expected.loss, "{} {}", got.loss, expected.loss);
            let ratio = got.gradient_norm / expected.gradient_norm;
            assert!((ratio - 1.0).abs() < of_norm, "{precision}: {ratio}");
        }
        let mut first = session();
        first.start(pairs(&first, 0), &half).unwrap();
        let mut again = steps(&mut first, 7);
        let state = block_on_cpu(first.save_state()).unwrap();
        let mut second = TrainingSession::from_state(&state, None, &cpu()).unwrap();
        second.resume_run(pairs(&second, 0)).unwrap();
        again.extend(steps(&mut second, 99));
        assert_eq!(again, got);
        assert!(weights(&second) == weights(&whole));
    }
}

#[test]
fn adapters_averages_frozen_blocks_and_muon_resume_bit_for_bit() {
    let lora = Tuning::Lora { rank: 3, alpha: 7.0 };
    let muon = Some(MuonOptions { lr: 0.01, momentum: 0.9, weight_decay: 0.1 });
    for (tuning, ema_decay, patch_dropout, muon) in [
        (lora, None, 0.0, None),
        (lora, Some(0.9), 0.0, muon),
        (Tuning::LastBlocks(0), None, 0.5, None),
        (Tuning::LastBlocks(1), None, 0.0, muon),
        (Tuning::All, Some(0.99), 0.25, muon),
    ] {
        // with some of these no parameter before the blocks is trainable
        let activation_checkpointing = tuning != Tuning::All;
        let options = RunOptions { tuning, ema_decay, patch_dropout, muon, activation_checkpointing, ..options() };
        let mut whole = session();
        whole.start(pairs(&whole, 0), &options).unwrap();
        let fresh = weights(&whole);
        let expected = steps(&mut whole, 99);
        assert!(weights(&whole) != fresh, "{tuning:?}");

        let mut first = session();
        first.start(pairs(&first, 0), &options).unwrap();
        let mut got = steps(&mut first, 7);
        let state = block_on_cpu(first.save_state()).unwrap();
        let mut second = TrainingSession::from_state(&state, None, &cpu()).unwrap();
        assert!(weights(&second) == weights(&first), "{tuning:?}");
        assert!(block_on_cpu(second.save_state()).unwrap() == state, "{tuning:?}");
        second.resume_run(pairs(&second, 0)).unwrap();
        got.extend(steps(&mut second, 99));
        assert_eq!(got, expected, "{tuning:?}");
        assert!(weights(&second) == weights(&whole), "{tuning:?}");
        if let Tuning::Lora { .. } = tuning {
            let adapter = |session: &TrainingSession| block_on_cpu(session.save_adapter()).unwrap();
            assert_eq!(adapter(&second), adapter(&whole));
            // the next run merges the adapters into the weights and trains all of them
            let merged = weights(&whole);
            whole.stop();
            whole.start(pairs(&whole, 0), &RunOptions { tuning: Tuning::All, ..options }).unwrap();
            assert!(weights(&whole) == merged);
            assert_eq!(block_on_cpu(whole.save_adapter()).unwrap_err().code(), "no-adapter");
        }
    }
}

#[test]
fn micro_batches_and_checkpointing_drop_the_same_patches() {
    let first = |micro_batch_size, activation_checkpointing| {
        let mut session = session();
        let options =
            RunOptions { micro_batch_size, activation_checkpointing, patch_dropout: 0.5, clip_norm: None, ..options() };
        session.start(pairs(&session, 0), &options).unwrap();
        let step = steps(&mut session, 1)[0];
        [step.loss, step.gradient_norm, step.likeness[0], step.likeness[1]]
    };
    let whole = first(None, false);
    for other in [first(Some(3), false), first(None, true), first(Some(3), true)] {
        let alike = whole.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-5 * a.abs().max(1.0));
        assert!(alike, "{whole:?} {other:?}");
    }
    assert!(whole[2] < 1.0 && whole[3] < 1.0 && whole[2] > -0.5);
}

#[test]
fn other_pairs_and_damaged_states_are_refused() {
    let mut session = session();
    session.start(pairs(&session, 0), &options()).unwrap();
    steps(&mut session, 2);
    let state = block_on_cpu(session.save_state()).unwrap();
    assert_eq!(session.resume_run(pairs(&session, 0)).unwrap_err().code(), "already-training");
    session.stop();
    assert!(session.resume_run(pairs(&session, 0)).is_ok());
    steps(&mut session, 99);
    session.stop();
    assert_eq!(session.resume_run(pairs(&session, 0)).unwrap_err().code(), "no-run");

    let mut resumed = TrainingSession::from_state(&state, None, &cpu()).unwrap();
    assert_eq!(resumed.resume_run(pairs(&resumed, 9)).unwrap_err().code(), "other-pairs");
    assert_eq!(resumed.resume_run(resumed.new_dataset()).unwrap_err().code(), "count-mismatch");
    assert!(resumed.resume_run(pairs(&resumed, 0)).is_ok());

    let open = |bytes: &[u8]| TrainingSession::from_state(bytes, None, &cpu()).map(drop).unwrap_err();
    assert_eq!(open(&weights(&session)).code(), "invalid-checkpoint");
    for at in (0..state.len()).step_by(state.len() / 60) {
        let mut damaged = state.clone();
        damaged[at] ^= 0x10;
        assert_eq!(open(&damaged).code(), "invalid-checkpoint", "byte {at}");
        assert_eq!(open(&state[..at]).code(), "invalid-checkpoint", "cut at {at}");
    }
    let mut newer = state.clone();
    let format = br#"format\":4"#;
    let at = state.windows(format.len()).position(|window| window == format).unwrap();
    newer[at + format.len() - 1] = b'5';
    let error = open(&newer).to_string();
    assert!(error.contains("expected format 4, got 5"), "{error}");
}

#[test]
fn ranks_take_the_steps_of_one_session() {
    let variants = [
        options(),
        RunOptions { lock: Some(Towers::Image), ..options() },
        RunOptions { lock: Some(Towers::Text), micro_batch_size: None, ..options() },
        RunOptions { precision: MatmulPrecision::F16, ema_decay: Some(0.9), ..options() },
        RunOptions { precision: MatmulPrecision::Bf16, ..options() },
        RunOptions { tuning: Tuning::Lora { rank: 2, alpha: 4.0 }, lr: 0.06, ..options() },
    ];
    for options in variants {
        let run = |ranks: Ranks| {
            let mut session = session();
            session.join(ranks);
            session.start(pairs(&session, 0), &options).unwrap();
            let progress = steps(&mut session, 6);
            session.stop();
            (progress, block_on_cpu(session.save_state()).unwrap())
        };
        let (expected, alone) = run(Ranks::default());
        for size in [2, 4] {
            let mut several = on_ranks(size, run);
            let (got, state) = several.pop().unwrap();
            assert!(several.iter().all(|(other, bytes)| *other == got && *bytes == state), "ranks differ");
            for (got, expected) in got.iter().zip(&expected) {
                let tolerance = match options.precision {
                    MatmulPrecision::F32 => 1e-3,
                    MatmulPrecision::F16 => 1e-2,
                    MatmulPrecision::Bf16 => 5e-2,
                };
                let near = |a: f32, b: f32| (a - b).abs() <= tolerance * b.abs().max(1e-2);
                assert!(near(got.loss, expected.loss), "{options:?}: {got:?} {expected:?}");
                assert!(near(got.gradient_norm, expected.gradient_norm), "{options:?}: {got:?} {expected:?}");
                assert_eq!((got.step, got.batch_size, got.lr), (expected.step, expected.batch_size, expected.lr));
            }
            // a state holds nothing of a rank: it goes on with any number of them
            assert_eq!(state.len(), alone.len());
            let mut session = TrainingSession::from_state(&state, None, &cpu()).unwrap();
            session.resume_run(pairs(&session, 0)).unwrap();
            assert_eq!(steps(&mut session, 1)[0].step, 7);
        }
    }
}

#[test]
fn a_rank_requests_its_own_images_alone() {
    let requests = on_ranks(2, |ranks| {
        let mut session = session();
        session.join(ranks);
        let mut pairs = pairs(&session, 0);
        pairs.release_images();
        session.start(pairs, &options()).unwrap();
        (0..3).map(|ahead| session.image_request(ahead).unwrap().pairs).collect::<Vec<_>>()
    });
    let mut session = session();
    let mut pairs = pairs(&session, 0);
    pairs.release_images();
    session.start(pairs, &options()).unwrap();
    for (ahead, (first, second)) in requests[0].iter().zip(&requests[1]).enumerate() {
        assert_eq!([&first[..], &second[..]].concat(), session.image_request(ahead).unwrap().pairs);
        assert_eq!(first.len(), 2);
    }
}

#[test]
fn a_run_whose_batches_the_ranks_cannot_share_is_refused() {
    for error in on_ranks(3, |ranks| {
        let mut session = session();
        session.join(ranks);
        session.start(pairs(&session, 0), &options()).unwrap_err()
    }) {
        assert_eq!(error.code(), "invalid-option");
    }
}
