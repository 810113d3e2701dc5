//! The third stage: musical facts.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sound_forge_audio::analysis::{Feature, analyse};
use sound_forge_audio::decode::{Limits, probe_and_decode};

use crate::ids::TrackId;
use crate::queue::{Failure, Finished, Job, Progress, StageResult, Stopped, WorkError, WorkOutput};
use crate::store::{OutputKind, Summary};

use super::watch::Watch;
use super::{Pipeline, of_decode, of_disk, of_store, on_thread};

/// The analysis as JSON.
const FILE: &str = "analysis.json";

impl Pipeline {
    pub(super) async fn analyse(
        &self,
        job: &Job,
        features: Vec<Feature>,
        progress: Progress,
    ) -> Result<WorkOutput, WorkError> {
        let audio = self.audio_of(job.track_id).await?;
        let earlier = self.earlier_analysis(job.track_id).await?;
        let folder = self.folder_for(job)?;
        on_thread(move || {
            let measured = measure(&audio, &features, &progress)?;
            let facts = merge(earlier, measured, &features);
            let path = folder.file(FILE);
            let file_size = write(&path, &facts)?;
            let result = StageResult::Analysis(summary(&facts));
            Ok(WorkOutput { folder, finished: Finished { file: FILE.to_owned(), file_size, result } })
        })
        .await
    }

    async fn earlier_analysis(&self, track: TrackId) -> Result<Option<PathBuf>, WorkError> {
        let output = self.store.track_output(track, OutputKind::Analysis).await.map_err(of_store)?;
        Ok(output.map(|output| self.data.output(OutputKind::Analysis, output.id).join(output.file)))
    }
}

type Facts = Map<String, Value>;

fn measure(path: &Path, features: &[Feature], progress: &Progress) -> Result<Facts, WorkError> {
    let mut watch = Watch { progress, message: "Reading audio...", from: 0.0, to: 0.15 };
    let decoded = probe_and_decode(path, &Limits::default(), &mut watch).map_err(of_decode)?;
    let mut watch = Watch { progress, message: "Analysing...", from: 0.15, to: 1.0 };
    let analysis = analyse(&decoded.audio, features, &mut watch).map_err(|_| Stopped)?;
    match serde_json::to_value(analysis) {
        Ok(Value::Object(facts)) => Ok(facts),
        Ok(_) => Err(unwritable("it is no object")),
        Err(error) => Err(unwritable(&error.to_string())),
    }
}

/// What was not asked for this time stays as it was, if it was.
fn merge(earlier: Option<PathBuf>, measured: Facts, features: &[Feature]) -> Facts {
    if features.contains(&Feature::All) {
        return measured;
    }
    // An analysis that cannot be read any more is replaced.
    let earlier = earlier.and_then(|path| fs::read(path).ok());
    let mut facts: Facts = earlier.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    facts.extend(measured);
    facts
}

fn write(path: &Path, facts: &Facts) -> Result<u64, WorkError> {
    let text = serde_json::to_vec(facts).map_err(|error| unwritable(&error.to_string()))?;
    fs::write(path, &text).map_err(|error| of_disk(&error))?;
    Ok(text.len() as u64)
}

fn summary(facts: &Facts) -> Summary {
    Summary {
        tempo: facts.get("tempo").and_then(Value::as_f64),
        musical_key: facts.get("key").and_then(Value::as_str).map(str::to_owned),
        loudness_lufs: facts.get("loudness_lufs").and_then(Value::as_f64),
    }
}

fn unwritable(reason: &str) -> WorkError {
    WorkError::Failed(Failure::permanent(format!("the analysis cannot be written down: {reason}")))
}
