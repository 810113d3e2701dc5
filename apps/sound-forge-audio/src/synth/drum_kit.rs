//! The sounds of the drums.

use super::{
    bus::{Bus, frame_at},
    envelope::Decay,
    filter::{Svf, saturate},
    groove::{Drum, Hit, hits},
    oscillator::{Noise, RATE, STEP, sine},
    rng::Rng,
    score::Score,
    space::reverberate,
    style::Style,
};

/// Plays the drums of a piece.
pub(crate) fn play(score: &Score<'_>, frames: usize) -> Bus {
    let mut bus = Bus::new(frames);
    let style = score.spec.style();
    let mut rng = score.rng("drum timing");
    let mut sounds: Vec<(Drum, Vec<f64>)> = Vec::new();
    for hit in hits(score) {
        let sound = match sounds.iter().position(|(drum, _)| *drum == hit.drum) {
            Some(known) => known,
            None => {
                sounds.push((hit.drum, strike(hit.drum, style, score.rng("drum noise"))));
                sounds.len() - 1
            }
        };
        let start = frame_at(score.time(hit.beat) + looseness(style) * rng.bipolar());
        let (level, pan) = place(&hit, style);
        bus.add(start, pan, sounds[sound].1.iter().map(|sample| sample * level));
    }
    reverberate(&mut bus, 0.5, 0.05);
    bus
}

/// How far off the grid a drummer of this style plays, in seconds.
fn looseness(style: Style) -> f64 {
    match style {
        Style::House | Style::Techno => 0.0,
        Style::Dnb => 0.002,
        Style::Hiphop => 0.005,
        Style::Waltz => 0.006,
    }
}

/// The level and panorama of a stroke.
fn place(hit: &Hit, style: Style) -> (f64, f64) {
    let (level, pan) = match hit.drum {
        Drum::Kick => (1.0, 0.0),
        Drum::Snare => (0.7, 0.05),
        Drum::Clap => (0.6, -0.05),
        Drum::Rim => (0.35, -0.3),
        Drum::Closed => (0.28, 0.25),
        Drum::Open => (0.3, 0.2),
        Drum::Ride => (0.25, -0.4),
        Drum::Shaker => (0.16, 0.45),
    };
    let soft = if style == Style::Waltz { 0.7 } else { 1.0 };
    (level * soft * hit.velocity * hit.velocity.sqrt(), pan)
}

/// One full stroke of a drum.
fn strike(drum: Drum, style: Style, rng: Rng) -> Vec<f64> {
    match drum {
        Drum::Kick => kick(style),
        Drum::Snare => snare(style, rng),
        Drum::Clap => clap(rng),
        Drum::Rim => rim(),
        Drum::Closed => metal(rng, 0.035, 7_500.0),
        Drum::Open => metal(rng, 0.14, 6_500.0),
        Drum::Ride => metal(rng, 0.3, 5_200.0),
        Drum::Shaker => shaker(rng),
    }
}

fn samples(seconds: f64) -> usize {
    (seconds * f64::from(RATE)) as usize
}

/// A sine that falls to its tone, with a click in front.
fn kick(style: Style) -> Vec<f64> {
    let (tone, sweep, length, drive) = match style {
        Style::House => (49.0, 150.0, 0.13, 1.6),
        Style::Techno => (46.0, 190.0, 0.16, 2.4),
        Style::Dnb => (55.0, 170.0, 0.09, 2.0),
        Style::Hiphop => (44.0, 90.0, 0.2, 1.8),
        Style::Waltz => (60.0, 60.0, 0.1, 1.0),
    };
    let mut pitch = Decay::new(0.022);
    let mut level = Decay::new(length);
    let mut click = Decay::new(0.002);
    let mut phase = 0.0;
    (0..samples(length * 7.0))
        .map(|_| {
            phase += (tone + sweep * pitch.next()) * STEP;
            let click = click.next() * sine(phase * 17.0) * 0.3;
            saturate(drive * (sine(phase) + click) * level.next())
        })
        .collect()
}

/// Two tuned skins under a burst of noise.
fn snare(style: Style, rng: Rng) -> Vec<f64> {
    let (tone, length) = match style {
        Style::Dnb => (210.0, 0.075),
        Style::Waltz => (190.0, 0.06),
        Style::House | Style::Techno | Style::Hiphop => (180.0, 0.1),
    };
    let mut noise = Noise::new(rng);
    let mut filter = Svf::new(3_200.0, 0.6);
    let (mut skin, mut wires) = (Decay::new(0.05), Decay::new(length));
    let mut phase = 0.0;
    (0..samples(length * 7.0))
        .map(|_| {
            phase += tone * STEP;
            let bands = filter.next(noise.next());
            let wires = (bands.band + 0.6 * bands.high) * wires.next();
            let skins = (sine(phase) + 0.6 * sine(phase * 1.83)) * skin.next();
            saturate(1.1 * wires + 0.8 * skins)
        })
        .collect()
}

/// Several hands, a few milliseconds apart.
fn clap(rng: Rng) -> Vec<f64> {
    let mut noise = Noise::new(rng);
    let mut filter = Svf::new(1_500.0, 1.4);
    let starts = [0.0, 0.010, 0.021, 0.030];
    (0..samples(0.6))
        .map(|sample| {
            let time = sample as f64 * STEP;
            let level: f64 = starts
                .iter()
                .enumerate()
                .filter(|(_, start)| time >= **start)
                .map(|(hand, start)| libm::exp(-(time - start) / if hand == 3 { 0.08 } else { 0.006 }))
                .sum();
            saturate(1.6 * filter.next(noise.next()).band * level)
        })
        .collect()
}

/// A short woody knock.
fn rim() -> Vec<f64> {
    let mut level = Decay::new(0.012);
    let mut phase = 0.0;
    (0..samples(0.08))
        .map(|_| {
            phase += 820.0 * STEP;
            saturate(2.0 * (sine(phase) + 0.7 * sine(phase * 2.07)) * level.next())
        })
        .collect()
}

/// Clashing square waves and noise above `cutoff`: hats and cymbals.
fn metal(rng: Rng, length: f64, cutoff: f64) -> Vec<f64> {
    // Ratios of a classic analogue cymbal circuit: none simple.
    let tones = [205.3, 304.4, 369.6, 522.7, 540.0, 800.0];
    let mut noise = Noise::new(rng);
    let mut filters = [Svf::new(cutoff, 0.8), Svf::new(cutoff, 0.8)];
    let mut level = Decay::new(length);
    (0..samples(length * 7.0))
        .map(|sample| {
            let time = sample as f64 * STEP;
            let clash: f64 = tones.iter().map(|tone| square(tone * 2.3 * time)).sum();
            let [first, second] = &mut filters;
            let high = first.next(clash * 0.2 + noise.next() * 0.8).high;
            second.next(high).high * level.next()
        })
        .collect()
}

fn square(phase: f64) -> f64 {
    if phase - phase.floor() < 0.5 { 1.0 } else { -1.0 }
}

/// A soft swell of high noise.
fn shaker(rng: Rng) -> Vec<f64> {
    let mut noise = Noise::new(rng);
    let mut filter = Svf::new(6_000.0, 1.2);
    let length = samples(0.07);
    (0..length)
        .map(|sample| {
            let position = sample as f64 / length as f64;
            // Rises over the first third and falls over the rest.
            let level = (3.0 * position).min(1.5 * (1.0 - position));
            filter.next(noise.next()).band * level * 1.5
        })
        .collect()
}

/// A gain per frame that dips with every kick and recovers over half a beat.
pub(crate) fn sidechain(score: &Score<'_>, frames: usize, depth: f64) -> Vec<f32> {
    let mut gains = vec![1.0_f32; frames];
    let recovery = (30.0 / score.spec.bpm()).min(0.25);
    for hit in hits(score).iter().filter(|hit| hit.drum == Drum::Kick) {
        let start = frame_at(score.time(hit.beat));
        for (offset, gain) in gains.iter_mut().skip(start).take(samples(recovery)).enumerate() {
            let left = 1.0 - offset as f64 * STEP / recovery;
            *gain = gain.min((1.0 - depth * left * left) as f32);
        }
    }
    gains
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_drum_sounds_and_fades_in_every_style() {
        for style in Style::ALL {
            for drum in [Drum::Kick, Drum::Snare, Drum::Clap, Drum::Rim, Drum::Closed, Drum::Open] {
                let sound = strike(drum, style, Rng::new(1, "test"));
                let peak = sound.iter().fold(0.0_f64, |peak, sample| peak.max(sample.abs()));
                assert!((0.2..=2.5).contains(&peak), "{style} {drum:?} {peak}");
                assert!(sound.last().unwrap().abs() < 0.03, "{style} {drum:?}");
            }
        }
    }
}
