//! What can be set, and where it comes from: an option, else its environment variable, else the
//! config file, else the default.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::BoolishValueParser;
use serde::Deserialize;

use crate::providers::CommandTemplate;
use crate::queue::Rules;
use crate::store::Engine;

const DEFAULT_PORT: u16 = 4000;
const DEFAULT_MAX_UPLOAD: u64 = 1 << 30;
const DEFAULT_RETRY_DELAY_MS: u64 = 2_000;
/// What `--pubsub` says for a node that has no others.
const LOCAL: &str = "local";
/// A secret with fewer characters can be guessed.
const SHORTEST_SECRET: usize = 32;
/// Sites whose pages hold no audio file of their own.
const DEFAULT_COMMAND_HOSTS: [&str; 5] =
    ["bandcamp.com", "open.spotify.com", "soundcloud.com", "youtu.be", "youtube.com"];

/// Where the studio keeps its things: options of every command.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct DataOptions {
    /// Data folder [default: sound-forge in $XDG_DATA_HOME or ~/.local/share]
    #[arg(long, env = "SOUND_FORGE_DATA", global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Database, as sqlite:PATH for one server, or as postgres://USER:PASSWORD@HOST/NAME for several;
    /// DATABASE_URL is looked at too, after SOUND_FORGE_DATABASE [default: studio.db in the data folder]
    #[arg(long, env = "SOUND_FORGE_DATABASE", global = true, value_name = "URL")]
    pub database: Option<String>,

    /// Config file in TOML, with the long options as keys [default: config.toml in the data folder,
    /// if there is one]
    #[arg(long, env = "SOUND_FORGE_CONFIG", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Options of `serve`, as one layer sets them.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ServeOptions {
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:4000]
    #[arg(long, env = "SOUND_FORGE_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,

    /// Origin of web pages, besides the host served on, that may open sockets [default: none]
    #[arg(long, env = "SOUND_FORGE_ORIGIN", value_delimiter = ',', value_name = "ORIGIN")]
    pub origin: Vec<String>,

    /// Folder below which file:// URLs may be imported [default: none, file imports are off]
    #[arg(long, env = "SOUND_FORGE_IMPORT_DIR", value_name = "DIR")]
    pub import_dir: Option<PathBuf>,

    /// Let downloads reach private and local addresses too [default: false]
    #[arg(long, env = "SOUND_FORGE_ALLOW_PRIVATE_URLS", value_parser = BoolishValueParser::new())]
    pub allow_private_urls: bool,

    /// Largest audio file that is let in, in bytes [default: 1073741824]
    #[arg(long, env = "SOUND_FORGE_MAX_UPLOAD", value_name = "BYTES")]
    pub max_upload: Option<u64>,

    /// Tool for pages that hold no audio themselves, such as 'yt-dlp -x -o {folder}/audio.%(ext)s {url}';
    /// {quality} is a place too, and no shell is involved [default: none]
    #[arg(long, env = "SOUND_FORGE_DOWNLOAD_COMMAND", value_name = "COMMAND")]
    pub download_command: Option<String>,

    /// Hosts, with their subdomains, whose URLs go to the download command
    /// [default: bandcamp.com,open.spotify.com,soundcloud.com,youtu.be,youtube.com]
    #[arg(long, env = "SOUND_FORGE_DOWNLOAD_COMMAND_HOST", value_delimiter = ',', value_name = "HOST")]
    pub download_command_host: Vec<String>,

    /// Wait after a first failed try, in milliseconds; it doubles with each further one [default: 2000]
    #[arg(long, env = "SOUND_FORGE_RETRY_DELAY", value_name = "MILLISECONDS")]
    pub retry_delay: Option<u64>,

    /// How nodes hear of each other, as nats://HOST:4222, redis://HOST:6379 or zenoh://HOST:7447; needs a
    /// database that they share [default: local, for one node]
    #[arg(long, env = "SOUND_FORGE_PUBSUB", value_name = "URL")]
    pub pubsub: Option<String>,

    /// What this node is called among the others; each has a name of its own [default: a random one]
    #[arg(long, env = "SOUND_FORGE_NODE", value_name = "NAME")]
    pub node: Option<String>,

    /// Serve, and leave the jobs to other nodes [default: false]
    #[arg(long, env = "SOUND_FORGE_NO_WORKERS", value_parser = BoolishValueParser::new())]
    pub no_workers: bool,

    /// For how many milliseconds a worker holds its job without being heard of; then another takes over.
    /// The same on all nodes [default: 10000]
    #[arg(long, env = "SOUND_FORGE_LEASE", value_name = "MILLISECONDS")]
    pub lease: Option<u64>,

    /// What sessions and the messages between nodes are signed with, the same on all nodes; no option, since
    /// a command line is no place for a secret.
    #[arg(skip)]
    pub secret: Option<String>,

    /// Over how many milliseconds sockets are closed when the server stops, so that their clients do not
    /// all come back at once [default: one for each socket, 10000 at most]
    #[arg(long, env = "SOUND_FORGE_DRAIN_WINDOW", value_name = "MILLISECONDS")]
    pub drain_window: Option<u64>,
}

/// Where the studio keeps its things.
#[derive(Debug, Clone)]
pub struct Place {
    /// The data folder.
    pub data: PathBuf,
    /// The database, when it is not the data folder's own.
    pub database: Option<DatabaseUrl>,
    /// What the config file sets for `serve`.
    file: ServeOptions,
}

/// A URL that may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// What was given.
    pub url: String,
    /// Where, for whoever has to mend it.
    pub given_by: &'static str,
}

/// What signatures are made with.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

/// How nodes hear of each other.
#[derive(Clone, PartialEq, Eq)]
pub struct PubSubUrl(pub String);

/// How to serve.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Further origins that may open sockets.
    pub origins: Vec<String>,
    /// Files below it may be imported.
    pub import_dir: Option<PathBuf>,
    /// Whether downloads may reach private addresses.
    pub allow_private_urls: bool,
    /// The largest file let in.
    pub max_upload: u64,
    /// The download tool.
    pub download_command: Option<CommandTemplate>,
    /// Hosts whose URLs go to it.
    pub download_command_hosts: Vec<String>,
    /// The wait after a first failed try.
    pub retry_delay: Duration,
    /// Over how long sockets are closed at the end.
    pub drain_window: Option<Duration>,
    /// How nodes hear of each other, if there are any others.
    pub pubsub: Option<PubSubUrl>,
    /// What this node is called.
    pub node: Option<String>,
    /// Whether jobs run here.
    pub workers: bool,
    /// For how long a lease holds without being renewed.
    pub lease: Duration,
    /// What signatures are made with, when it is not the data folder's secret.
    pub secret: Option<Secret>,
}

impl DataOptions {
    /// Fills in what is not set.
    ///
    /// # Errors
    ///
    /// When the config file cannot be read, or no data folder can be thought of.
    pub fn resolve(self) -> anyhow::Result<Place> {
        let named = self.config.as_deref().map(FileOptions::read).transpose()?;
        let mut file = named.unwrap_or_default();
        let data = match self.data.or(file.data.take()) {
            Some(data) => data,
            None => default_data_dir()?,
        };
        let own = data.join("config.toml");
        if self.config.is_none() && own.exists() {
            file = FileOptions::read(&own)?;
        }
        let database = self.database.map(|url| (url, "--database or SOUND_FORGE_DATABASE"));
        let database = database.or_else(|| set("DATABASE_URL").map(|url| (url, "DATABASE_URL")));
        let database = database.or(file.database.map(|url| (url, "the config file")));
        let database = database.map(|(url, given_by)| DatabaseUrl { url, given_by });
        Ok(Place { data, database, file: file.serve })
    }
}

impl Place {
    /// Which database the studio is in.
    ///
    /// # Errors
    ///
    /// When the URL is of none that can be used.
    pub fn engine(&self) -> anyhow::Result<Engine> {
        let Some(database) = &self.database else { return Ok(Engine::Sqlite) };
        Engine::of_url(&database.url).with_context(|| format!("{} cannot be used", database.given_by))
    }
}

/// Shows nothing of the password.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl(by {})", self.given_by)
    }
}

/// Shows nothing of it.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Shows the scheme alone: the rest may hold a password.
impl fmt::Debug for PubSubUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PubSubUrl({}:…)", self.0.split(':').next().unwrap_or_default())
    }
}

impl ServeOptions {
    /// Fills in what is not set, from the config file and the defaults.
    ///
    /// # Errors
    ///
    /// When a value means nothing.
    pub fn resolve(self, place: &Place) -> anyhow::Result<ServeConfig> {
        let file = place.file.clone();
        let command = self.download_command.or(file.download_command);
        let import_dir = self.import_dir.or(file.import_dir);
        let pubsub = self.pubsub.or(file.pubsub).filter(|url| url != LOCAL);
        let secret = set("SOUND_FORGE_SECRET").or(self.secret).or(file.secret).map(Secret);
        anyhow::ensure!(
            secret.as_ref().is_none_or(|Secret(secret)| secret.len() >= SHORTEST_SECRET),
            "SOUND_FORGE_SECRET has less than {SHORTEST_SECRET} characters"
        );
        Ok(ServeConfig {
            listen: self.listen.or(file.listen).unwrap_or((Ipv4Addr::LOCALHOST, DEFAULT_PORT).into()),
            origins: first_set(self.origin, file.origin),
            import_dir: import_dir.as_deref().map(real_folder).transpose()?,
            allow_private_urls: self.allow_private_urls || file.allow_private_urls,
            max_upload: self.max_upload.or(file.max_upload).unwrap_or(DEFAULT_MAX_UPLOAD),
            download_command: command.map(|text| parse_command(&text)).transpose()?,
            download_command_hosts: first_set(
                first_set(self.download_command_host, file.download_command_host),
                DEFAULT_COMMAND_HOSTS.map(str::to_owned).to_vec(),
            ),
            retry_delay: Duration::from_millis(
                self.retry_delay.or(file.retry_delay).unwrap_or(DEFAULT_RETRY_DELAY_MS),
            ),
            drain_window: self.drain_window.or(file.drain_window).map(Duration::from_millis),
            pubsub: pubsub.map(PubSubUrl),
            node: self.node.or(file.node),
            workers: !(self.no_workers || file.no_workers),
            lease: self.lease.or(file.lease).map_or(Rules::default().lease, Duration::from_millis),
            secret,
        })
    }
}

/// What a config file sets.
#[derive(Debug, Clone, Default)]
struct FileOptions {
    data: Option<PathBuf>,
    database: Option<String>,
    serve: ServeOptions,
}

impl FileOptions {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let read = || -> anyhow::Result<Self> { Self::parse(&std::fs::read_to_string(path)?) };
        read().with_context(|| format!("the config file {} cannot be used", path.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut table: toml::Table = text.parse()?;
        let data = table.remove("data").map(toml::Value::try_into).transpose()?;
        let database = table.remove("database").map(toml::Value::try_into).transpose()?;
        Ok(Self { data, database, serve: table.try_into()? })
    }
}

/// A variable that is set, and to something.
fn set(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

fn first_set(ours: Vec<String>, theirs: Vec<String>) -> Vec<String> {
    if ours.is_empty() { theirs } else { ours }
}

fn parse_command(text: &str) -> anyhow::Result<CommandTemplate> {
    text.parse().with_context(|| format!("the download command {text:?} cannot be used"))
}

fn real_folder(path: &Path) -> anyhow::Result<PathBuf> {
    let real = path.canonicalize().with_context(|| format!("the import folder {}", path.display()))?;
    anyhow::ensure!(real.is_dir(), "the import folder {} is no folder", path.display());
    Ok(real)
}

fn default_data_dir() -> anyhow::Result<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = folder("XDG_DATA_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/share")));
    let base = base.context("neither XDG_DATA_HOME nor HOME is set: choose a data folder with --data")?;
    Ok(base.join("sound-forge"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_beats_the_file_and_the_file_beats_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let text = "listen = \"127.0.0.1:5000\"\nretry-delay = 7\norigin = [\"https://a.example\"]\n";
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        let data = DataOptions { data: Some(folder.path().to_owned()), ..DataOptions::default() };
        let place = data.resolve().unwrap();

        let config =
            ServeOptions { retry_delay: Some(9), ..ServeOptions::default() }.resolve(&place).unwrap();
        assert_eq!(config.listen.port(), 5000);
        assert_eq!(config.retry_delay, Duration::from_millis(9));
        assert_eq!(config.origins, ["https://a.example"]);
        assert_eq!(config.max_upload, DEFAULT_MAX_UPLOAD);
    }

    #[test]
    fn a_config_file_with_an_unknown_key_is_refused_by_name() {
        let error = FileOptions::parse("lisen = \"127.0.0.1:5000\"").unwrap_err();
        assert!(format!("{error:#}").contains("lisen"), "{error:#}");
        let file = FileOptions::parse("data = \"/d\"\ndatabase = \"sqlite:/x\"").unwrap();
        assert_eq!((file.data, file.database), (Some("/d".into()), Some("sqlite:/x".to_owned())));
    }

    #[test]
    fn a_useless_command_is_refused() {
        let place = Place { data: PathBuf::new(), database: None, file: ServeOptions::default() };
        let options = ServeOptions { download_command: Some("spotdl".to_owned()), ..ServeOptions::default() };
        let error = format!("{:#}", options.resolve(&place).unwrap_err());
        assert!(error.contains("no place for {url}"), "{error}");
    }

    #[test]
    fn passwords_in_urls_and_secrets_are_not_shown() {
        let place = Place { data: PathBuf::new(), database: None, file: ServeOptions::default() };
        let secret = "0123456789abcdef0123456789abcdef".to_owned();
        let options = ServeOptions {
            pubsub: Some("nats://me:hunter2@nats:4222".to_owned()),
            secret: Some(secret.clone()),
            ..ServeOptions::default()
        };
        let config = format!("{:?}", options.resolve(&place).unwrap());
        assert!(
            config.contains("nats") && !config.contains("hunter2") && !config.contains(&secret),
            "{config}"
        );
        let short = ServeOptions { secret: Some("short".to_owned()), ..ServeOptions::default() };
        assert!(short.resolve(&place).is_err());
        let url = "mysql://me:hunter2@db/studio".to_owned();
        let place = Place { database: Some(DatabaseUrl { url, given_by: "DATABASE_URL" }), ..place };
        let error = format!("{:#} {place:?}", place.engine().unwrap_err());
        assert!(error.contains("DATABASE_URL") && !error.contains("hunter2"), "{error}");
    }
}
