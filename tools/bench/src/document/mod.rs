//! The documents of figures, made from runs: tables between markers, and plots.

mod acks;
mod bars;
mod capacity;
mod cluster;
mod cores;
mod curves;
mod growth;
mod headline;
mod series;
mod splice;
mod svg;
mod tables;
mod targets;
mod trials;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use trials::Trials;

/// What to read and what to write.
#[derive(Clone, Debug, Args)]
pub(crate) struct Document {
    /// Files of runs, as `--json` writes them.
    #[arg(required = true, value_name = "FILE")]
    runs: Vec<PathBuf>,
    /// Markdown whose blocks `<!-- figures: NAME -->` to `<!-- end -->` are written anew; may be given several times.
    #[arg(long, value_name = "FILE.md")]
    page: Vec<PathBuf>,
    /// Folder of the plots.
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
}

impl Document {
    /// Reads all runs, then writes all that was asked for.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let trials = Trials::read(&self.runs)?;
        for page in &self.page {
            let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
            let text = splice::fill(&text, |name| block(name, &trials))
                .with_context(|| page.display().to_string())?;
            put(page, &text)?;
        }
        let Some(folder) = &self.plots else { return Ok(()) };
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        for (name, plot) in growth::plots(&trials) {
            put(&folder.join(name), &plot)?;
        }
        Ok(())
    }
}

/// The text of a block, if there is one of this name.
fn block(name: &str, trials: &Trials) -> Option<String> {
    Some(match name {
        "series" => series::series(trials),
        "targets" => targets::table(trials),
        "servers" => tables::servers(trials),
        "variants" => tables::variants(trials),
        "growth" => growth::table(trials),
        "other" => tables::other(trials),
        "frames" => tables::if_measured(wire::frames(trials)),
        "padded" => tables::if_measured(wire::padded(trials)),
        "acks" => tables::if_measured(acks::table(trials)),
        "cores" => tables::if_measured(cores::table(trials)),
        "cluster" => cluster::table(trials),
        "capacity" => capacity::page(trials),
        _ => return None,
    })
}

fn put(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}
