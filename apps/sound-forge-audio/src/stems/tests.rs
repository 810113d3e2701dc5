use std::ops::ControlFlow;

use super::*;
use crate::{
    decode::{Limits, probe_and_decode},
    encode::{EncodeError, Encoding},
    progress::Unwatched,
    synth::{self, DemoSpec, Rendered},
};

fn rendered(source: &str) -> Rendered {
    synth::render(&DemoSpec::parse(source).unwrap(), &mut Unwatched).unwrap()
}

/// The power of the difference in decibels below the first.
fn difference_db(audio: &Audio, other: &Audio) -> f64 {
    let power = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let samples = |audio: &Audio| -> Vec<f64> {
        audio.channels.iter().flatten().map(|sample| f64::from(*sample)).collect()
    };
    let (a, b) = (samples(audio), samples(other));
    assert_eq!(a.len(), b.len());
    let error = power(&mut a.iter().zip(&b).map(|(a, b)| a - b));
    10.0 * (error.max(1e-30) / power(&mut a.iter().copied())).log10()
}

/// How well a stem matches the truth, in decibels: more is better.
fn sdr(truth: &Audio, found: &Audio) -> f64 {
    -difference_db(truth, found)
}

#[test]
fn stems_add_up_to_the_track() {
    let mix = rendered("demo:house?seconds=6").mix();
    let mono = Audio::new(22_050, vec![mix.channels[0].clone()]);
    for audio in [mix, mono] {
        let stems = separate(&audio, &mut Unwatched).unwrap();
        for (stem, part) in stems.iter() {
            assert_eq!(part.frames(), audio.frames(), "{stem}");
        }
        let error = difference_db(&audio, &stems.sum());
        assert!(error < -90.0, "{error}");
    }
}

#[test]
fn each_stem_is_nearer_to_its_truth_than_the_mix_is() {
    let truth = rendered("demo:dnb?seconds=12");
    let mix = truth.mix();
    let stems = separate(&mix, &mut Unwatched).unwrap();
    for (stem, audio) in stems.iter() {
        let (before, after) = (sdr(truth.stems.stem(stem), &mix), sdr(truth.stems.stem(stem), audio));
        assert!(after > before + 1.0, "{stem}: {before:.1} to {after:.1} dB");
    }
}

#[test]
fn odd_lengths_and_silence_are_no_trouble() {
    for frames in [0, 1, 1_000, 4_097] {
        let audio = Audio::silence(44_100, 2, frames);
        let stems = separate(&audio, &mut Unwatched).unwrap();
        assert!(stems.iter().all(|(_, part)| part.frames() == frames && part.peak() == 0.0));
    }
    assert_eq!(separate(&Audio::default(), &mut Unwatched).unwrap().sum().frames(), 0);
}

#[test]
fn loud_tracks_give_stems_within_full_scale() {
    let mut loud = rendered("demo:dnb?seconds=6").mix();
    loud.channels.iter_mut().flatten().for_each(|sample| *sample = (*sample * 8.0).clamp(-1.0, 1.0));
    let stems = separate(&loud, &mut Unwatched).unwrap();
    assert!(stems.iter().all(|(_, part)| part.peak() <= 1.0));
    assert!(difference_db(&loud, &stems.sum()) < -90.0);
}

#[test]
fn files_hold_the_same_stems_and_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let mix = rendered("demo:hiphop?seconds=6").mix();
    let files = separate_to_files(&mix, folder.path(), Encoding::Flac24, &mut Unwatched).unwrap();
    let direct = separate(&mix, &mut Unwatched).unwrap();
    let mut sum = Audio::silence(44_100, 2, mix.frames());
    for file in files {
        assert_eq!(std::fs::metadata(&file.path).unwrap().len(), file.bytes);
        let audio = probe_and_decode(&file.path, &Limits::default(), &mut Unwatched).unwrap().audio;
        assert!(difference_db(direct.stem(file.stem), &audio) < -60.0, "{}", file.stem);
        sum.add(&audio);
    }
    assert!(difference_db(&mix, &sum) < -90.0);
}

#[test]
fn cancelling_leaves_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let mix = rendered("demo:house?seconds=6").mix();
    let mut calls = 0;
    let mut watcher = |_: f64| {
        calls += 1;
        if calls > 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let result = separate_to_files(&mix, folder.path(), Encoding::Flac16, &mut watcher);
    assert!(matches!(result, Err(EncodeError::Cancelled(_))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn progress_rises_to_one() {
    let mut heard = Vec::new();
    let mut watcher = |fraction: f64| {
        heard.push(fraction);
        ControlFlow::Continue(())
    };
    separate(&rendered("demo:house?seconds=6").mix(), &mut watcher).unwrap();
    assert!(heard.is_sorted() && heard.last() == Some(&1.0), "{heard:?}");
}
