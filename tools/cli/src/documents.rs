//! What is generated from the command line's own description: completions and man pages.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};

use crate::exit::Exit;
use crate::options::Options;

/// `bennu completions`.
#[derive(Debug, Args)]
#[command(after_help = "bash: bennu completions bash > ~/.local/share/bash-completion/completions/bennu\n\
                        zsh:  bennu completions zsh > a folder of $fpath, as _bennu\n\
                        fish: bennu completions fish > ~/.config/fish/completions/bennu.fish")]
pub(crate) struct Shell {
    /// For which shell
    shell: clap_complete::Shell,
}

/// `bennu man`.
#[derive(Debug, Args)]
pub(crate) struct Folder {
    /// Folder to write a page for each command to; without it, the main page goes to standard output
    folder: Option<PathBuf>,
}

pub(crate) fn completions(shell: &Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell.shell, &mut Options::command(), "bennu", &mut script);
    print(&script)
}

pub(crate) fn man(folder: &Folder) -> anyhow::Result<Exit> {
    let Some(folder) = &folder.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Options::command()).render(&mut page)?;
        return print(&page);
    };
    let cannot_write = || format!("cannot write man pages to {}", folder.display());
    fs::create_dir_all(folder).with_context(cannot_write)?;
    clap_mangen::generate_to(Options::command(), folder).with_context(cannot_write)?;
    Ok(Exit::Done)
}

/// As it is: it has no colours that could be taken out.
fn print(bytes: &[u8]) -> anyhow::Result<Exit> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()?;
    Ok(Exit::Done)
}
