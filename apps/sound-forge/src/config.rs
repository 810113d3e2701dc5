//! What can be set, and where it comes from: an option, else its environment variable, else the
//! config file, else the default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

use crate::providers::CommandTemplate;

/// What one layer sets. The config file has the same names, with underscores.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeOptions {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:4000]
    #[arg(long, env = "SOUND_FORGE_LISTEN")]
    pub listen: Option<SocketAddr>,

    /// Web page origins besides the own host that may open sockets, such as https://studio.example [default: none]
    #[arg(long, env = "SOUND_FORGE_ORIGIN", value_delimiter = ',')]
    #[serde(default)]
    pub origin: Vec<String>,

    /// Folder below which file:// URLs may be imported [default: none, file imports are off]
    #[arg(long, env = "SOUND_FORGE_IMPORT_DIR")]
    pub import_dir: Option<PathBuf>,

    /// Lets http(s) downloads reach private and local addresses too [default: false]
    #[arg(long, env = "SOUND_FORGE_ALLOW_PRIVATE_URLS")]
    #[serde(default)]
    pub allow_private_urls: bool,

    /// Largest audio file let in, in bytes [default: 1073741824]
    #[arg(long, env = "SOUND_FORGE_MAX_UPLOAD")]
    pub max_upload: Option<u64>,

    /// Tool that fetches what the studio cannot, with places {url}, {folder} and {quality}; no shell
    /// is involved [default: none]
    #[arg(long, env = "SOUND_FORGE_DOWNLOAD_COMMAND")]
    pub download_command: Option<String>,

    /// Hosts, with their subdomains, whose URLs go to the download command
    /// [default: bandcamp.com,open.spotify.com,soundcloud.com,youtu.be,youtube.com]
    #[arg(long, env = "SOUND_FORGE_DOWNLOAD_COMMAND_HOSTS", value_delimiter = ',')]
    #[serde(default)]
    pub download_command_hosts: Vec<String>,

    /// Wait after a first failed try, in milliseconds; it doubles with each further one [default: 2000]
    #[arg(long, env = "SOUND_FORGE_RETRY_DELAY")]
    pub retry_delay: Option<u64>,

    /// Requests a key or session may make in a minute [default: 60 ... see --help of issue 8]
    #[arg(skip)]
    #[serde(skip)]
    pub reserved: (),
}

/// Where the studio keeps its things: for every command.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataOptions {
    /// Data folder [default: $XDG_DATA_HOME/sound-forge, else ~/.local/share/sound-forge]
    #[arg(long, env = "SOUND_FORGE_DATA", global = true)]
    pub data: Option<PathBuf>,

    /// Database, as sqlite:PATH [default: studio.db in the data folder]
    #[arg(long, env = "SOUND_FORGE_DATABASE", global = true)]
    pub database: Option<String>,
}
