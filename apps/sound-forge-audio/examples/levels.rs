use sound_forge_audio::{synth, Unwatched};
fn main(){ for s in synth::Style::ALL { let spec: synth::DemoSpec = format!("demo:{s}?seconds=60").parse().unwrap(); let r=synth::render(&spec,&mut Unwatched).unwrap(); print!("{s}: ");
for (n,a) in r.stems.iter(){ let x=&a.channels[0]; let rms=(x.iter().map(|v|v*v).sum::<f32>()/x.len() as f32).sqrt(); print!("{n} peak {:.2} rms {:.3}  ",a.peak(),rms);} println!(); } }
