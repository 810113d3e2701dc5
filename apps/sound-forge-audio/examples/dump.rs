use sound_forge_audio::{synth, Unwatched};
fn main(){ let spec: synth::DemoSpec = std::env::args().nth(1).unwrap().parse().unwrap();
let t=std::time::Instant::now();
let m=synth::render_mix(&spec,&mut Unwatched).unwrap(); eprintln!("{:?} peak {} {:?}", m, m.peak(), t.elapsed());
let mut w=hound::WavWriter::create(std::env::args().nth(2).unwrap(), hound::WavSpec{channels:2,sample_rate:44100,bits_per_sample:16,sample_format:hound::SampleFormat::Int}).unwrap();
for i in 0..m.frames(){for c in 0..2{w.write_sample((m.channels[c][i]*32767.0) as i16).unwrap();}} }
