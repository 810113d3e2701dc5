#![allow(missing_docs, clippy::print_stdout)]
use sound_forge_audio::{synth, Unwatched, analysis};
fn main(){ if std::env::args().nth(1).unwrap()=="midi" { return midi(); } 
 let n: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
 let mut ok=0; let mut total=0; let mut have=0;
 for seed in 0..n { for (style,lo,hi) in [("house",100.,136.),("techno",120.,152.),("dnb",155.,190.),("hiphop",60.,108.),("waltz",80.,190.)] {
  let mut h = (seed+1).wrapping_mul(0x9e3779b97f4a7c15) ^ (style.len() as u64 * 7919); h ^= h>>29; h=h.wrapping_mul(0xbf58476d1ce4e5b9); h^=h>>32;
  let bpm = lo + (hi-lo) * ((h % 1000) as f64/1000.0);
  let keys=["C","Am","F#m","Bb","Em","G","Dm","Eb"]; let key=keys[((h>>20)%8) as usize];
  let spec: synth::DemoSpec = format!("demo:{style}?bpm={bpm:.1}&seed={}&seconds=45&key={}", seed+100, key.replace('#',"%23")).parse().unwrap();
  let m=synth::render_mix(&spec,&mut Unwatched).unwrap();
  let c = analysis::debug(&m);
  total+=1; let hit=|b:f64| (b/spec.bpm()-1.0).abs()<0.04;
  if c.iter().any(|c| hit(c.bpm)) {have+=1;}
  let good = c.first().is_some_and(|c| hit(c.bpm)); if good {ok+=1;}
  if std::env::var("DUMP").is_ok() { for x in &c { println!("{style} {seed} {} {} {} {}", spec.bpm(), x.bpm, hit(x.bpm) as i32, x.features.iter().map(|f| format!("{f:.4}")).collect::<Vec<_>>().join(" ")); } }
  else if !good { println!("{spec}: {}", c.iter().take(4).map(|c| format!("{:.1}({:.2})", c.bpm,c.score)).collect::<Vec<_>>().join(" ")); }
 }}
 if std::env::var("DUMP").is_err() { println!("{ok}/{total}, among candidates {have}"); }
}

fn midi() { let truth=std::fs::read_to_string("/tmp/midi/truth.tsv").unwrap(); let (mut ok,mut ok2,mut n,mut have)=(0,0,0,0);
 for line in truth.lines() { let f: Vec<&str>=line.split('\t').collect(); let bpm: f64=f[1].parse().unwrap(); if f[2].parse::<f64>().unwrap()<0.9 {continue;}
  let d=sound_forge_audio::decode::probe_and_decode(format!("/tmp/midi/out/{}.wav",f[0]).as_ref(),&Default::default(),&mut Unwatched).unwrap();
  let c=analysis::debug(&d.audio); n+=1; let hit=|b:f64| (b/bpm-1.0).abs()<0.04; if c.iter().any(|c| hit(c.bpm)) {have+=1;}
  let good = c.first().is_some_and(|c| hit(c.bpm)); if good {ok+=1;} if c.first().is_some_and(|c| [1.0,2.0,0.5,3.0,1.0/3.0].iter().any(|r| (c.bpm/bpm/r-1.0).abs()<0.04)) {ok2+=1;}
  if std::env::var("DUMP").is_ok() { for x in &c { println!("{} 0 {} {} {} {}", f[0], bpm, x.bpm, hit(x.bpm) as i32, x.features.iter().map(|f| format!("{f:.4}")).collect::<Vec<_>>().join(" ")); } }
  else if !good { println!("{} {bpm}: {}", f[0], c.iter().take(4).map(|c| format!("{:.1}({:.2})", c.bpm,c.score)).collect::<Vec<_>>().join(" ")); } }
 if std::env::var("DUMP").is_err() { println!("midi acc1 {ok}/{n} acc2 {ok2} have {have}"); } }
