use std::ops::ControlFlow;

use super::*;
use crate::{
    progress::Unwatched,
    synth::{self, DemoSpec},
};

fn everything(audio: &Audio) -> Analysis {
    analyse(audio, &[Feature::All], &mut Unwatched).unwrap()
}

fn stereo(mono: Vec<f32>) -> Audio {
    Audio::new(44_100, vec![mono.clone(), mono])
}

/// Noise from a linear congruential generator (Knuth's MMIX constants).
fn noise(frames: usize) -> Vec<f32> {
    let mut state = 1_u64;
    (0..frames)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// The share of true beats with one found within 70 ms.
fn recall(truth: &[f64], found: &[f64]) -> f64 {
    let near = |beat: &&f64| found.iter().any(|other| (*beat - other).abs() < 0.07);
    truth.iter().filter(near).count() as f64 / truth.len() as f64
}

#[test]
fn demo_tracks_have_their_tempo_beats_and_key() {
    for source in [
        "demo:house?bpm=122&key=Am&seconds=40",
        "demo:dnb?bpm=172&key=F&seconds=40&seed=3",
        "demo:hiphop?bpm=88&key=Bbm&seconds=40&seed=2",
        "demo:waltz?bpm=140&key=D&seconds=40",
    ] {
        let truth = synth::render(&DemoSpec::parse(source).unwrap(), &mut Unwatched).unwrap();
        let found = everything(&truth.mix());
        let tempo = found.tempo.unwrap();
        assert!((tempo / truth.bpm - 1.0).abs() < 0.01, "{source} {tempo}");
        assert_eq!(found.key, Some(truth.key.to_string()), "{source}");
        assert!(recall(&truth.beats, &found.beats) > 0.9, "{source}");
    }
}

#[test]
fn waltzes_have_three_beats_and_house_has_four() {
    for (source, beats) in [("demo:waltz?seconds=30", 3), ("demo:hiphop?seconds=30", 4)] {
        let mix = synth::render_mix(&DemoSpec::parse(source).unwrap(), &mut Unwatched).unwrap();
        assert_eq!(everything(&mix).rhythm.unwrap().beats_per_bar, beats, "{source}");
    }
}

#[test]
fn odd_signals_give_finite_numbers_and_no_false_tempo() {
    let mut click = vec![0.0; 44_100 * 3];
    click[60_000] = 1.0;
    for (name, mono) in [
        ("nothing", vec![]),
        ("one sample", vec![1.0]),
        ("silence", vec![0.0; 44_100 * 3]),
        ("click", click),
        ("constant", vec![0.5; 44_100 * 3]),
        ("not a number", vec![f32::NAN; 44_100]),
        ("far too loud", vec![f32::MAX; 44_100]),
        ("noise", noise(44_100 * 8)),
        ("a second of noise", noise(44_100)),
    ] {
        let analysis = everything(&stereo(mono));
        assert_eq!(analysis.tempo, None, "{name}");
        assert!(analysis.beats.is_empty(), "{name}");
        // A number that is not finite would print as null and not come back.
        let json = serde_json::to_string(&analysis).unwrap();
        assert!(!json.contains("null,") || json.contains("\"integrated_lufs\":null"), "{name}");
        assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), analysis, "{name}");
    }
}

#[test]
fn noise_has_no_certain_key() {
    let analysis = everything(&stereo(noise(44_100 * 5)));
    assert!(analysis.key_confidence.unwrap_or(0.0) < 0.5, "{analysis:?}");
}

#[test]
fn shapes_without_samples_are_no_trouble() {
    for audio in [Audio::default(), Audio::silence(0, 2, 100), Audio::silence(44_100, 0, 0)] {
        assert_eq!(everything(&audio).tempo, None);
    }
}

#[test]
fn one_second_clips_are_analysed() {
    let source = "demo:house?bpm=120&seconds=5";
    let mut clip = synth::render_mix(&DemoSpec::parse(source).unwrap(), &mut Unwatched).unwrap();
    clip.channels.iter_mut().for_each(|channel| channel.truncate(44_100));
    let analysis = everything(&clip);
    assert_eq!(analysis.duration, 1.0);
    assert!(analysis.loudness_lufs.is_some());
}

#[test]
fn only_what_is_asked_for_is_there() {
    let audio = stereo(noise(44_100));
    let analysis = analyse(&audio, &[Feature::Chroma, Feature::Mfcc], &mut Unwatched).unwrap();
    let json = serde_json::to_value(&analysis).unwrap();
    let names: Vec<&String> = json.as_object().unwrap().keys().collect();
    let expected = ["chroma", "chroma_frames", "duration", "mfcc", "peaks", "sample_rate"];
    assert_eq!(names, expected);
}

#[test]
fn features_have_names() {
    for feature in Feature::EACH {
        assert_eq!(feature.name().parse(), Ok(feature));
        assert_eq!(serde_json::to_value(feature).unwrap(), feature.name());
    }
    assert!("melody".parse::<Feature>().is_err());
}

#[test]
fn a_sine_has_its_spectrum_and_chroma() {
    let step = std::f32::consts::TAU * 440.0 / 44_100.0;
    let analysis = everything(&stereo((0..88_200).map(|i| (i as f32 * step).sin() * 0.5).collect()));
    let spectral = analysis.spectral.unwrap();
    assert!((spectral.centroid_mean - 440.0).abs() < 40.0, "{}", spectral.centroid_mean);
    assert!((spectral.zero_crossings_mean - 880.0).abs() < 90.0, "{}", spectral.zero_crossings_mean);
    let chroma = analysis.chroma.unwrap();
    assert_eq!(chroma[9], 1.0);
    assert!(chroma.iter().enumerate().all(|(class, value)| class == 9 || *value < 0.1));
}

#[test]
fn progress_rises_to_one_and_can_cancel() {
    let audio = stereo(noise(44_100 * 2));
    let mut heard = Vec::new();
    let mut watcher = |fraction: f64| {
        heard.push(fraction);
        ControlFlow::Continue(())
    };
    analyse(&audio, &[], &mut watcher).unwrap();
    assert!(heard.is_sorted() && heard.last() == Some(&1.0), "{heard:?}");
    let mut stop = |fraction: f64| {
        if fraction > 0.3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    assert_eq!(analyse(&audio, &[], &mut stop), Err(Cancelled));
}
