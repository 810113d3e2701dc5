//! `bennu token`: tokens as Phoenix.Token makes them.

mod inspect;
mod json;
mod notation;

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use bennu_token::{KeyDigest, KeyOptions, MaxAge, SignOptions, Term, TokenError, Tokens, VerifyOptions};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::exit::{Exit, failure};
use crate::print;
use crate::secret::{self, SecretSource};
use crate::span;

/// `bennu token …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token that a server with the same secret accepts
    Sign(Sign),
    /// Check a token, and print what was signed; of an encrypted token too
    Verify(Verify),
    /// Show what is in a token, without the secret and without checking anything
    Inspect(Inspect),
}

/// `bennu token sign`.
#[derive(Debug, Args)]
#[command(after_help = "As in Elixir: Phoenix.Token.sign(secret, salt, data)\n\n\
    Example: BENNU_SECRET=… bennu token sign --salt 'user socket' '{\"user_id\": 42}'")]
pub(crate) struct Sign {
    /// What the token says, as JSON; `-` reads it from standard input
    #[arg(value_name = "DATA", default_value = "-")]
    data: String,

    #[command(flatten)]
    purpose: Purpose,

    /// How old it may get where the server does not say otherwise: 90s, 15m, 2h, 7d, or `infinity`
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = max_age)]
    max_age: MaxAge,

    /// Encrypt it too, so that nobody can read it: Phoenix.Token.encrypt
    #[arg(long)]
    encrypt: bool,
}

/// `bennu token verify`.
#[derive(Debug, Args)]
#[command(after_help = "Ends with 0 when the token is valid, 9 when it is not, 10 when it has expired.")]
pub(crate) struct Verify {
    /// The token; `-` reads it from standard input, where others on this machine do not see it
    #[arg(value_name = "TOKEN", default_value = "-")]
    token: String,

    #[command(flatten)]
    purpose: Purpose,

    /// How old it may be, whatever it says itself: 90s, 15m, 2h, 7d, or `infinity`
    #[arg(long, value_name = "TIME", value_parser = max_age)]
    max_age: Option<MaxAge>,

    /// Print data, signed_at and expires_at as one JSON object
    #[arg(long)]
    json: bool,
}

/// `bennu token inspect`.
#[derive(Debug, Args)]
#[command(
    after_help = "Data is shown as Elixir writes it. Nothing is verified: anyone can write such a token."
)]
pub(crate) struct Inspect {
    /// The token; `-` reads it from standard input
    #[arg(value_name = "TOKEN", default_value = "-")]
    token: String,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What a token is for, and how its key is made: both sides must say the same.
#[derive(Debug, Args)]
struct Purpose {
    /// What the token is for, as `user socket`; the same as in the server's code, and no secret
    #[arg(long, value_name = "TEXT")]
    salt: String,

    #[command(flatten)]
    secret: SecretSource,

    /// The server's key_iterations
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    key_iterations: u32,

    /// The server's key_length, in bytes
    #[arg(long, value_name = "BYTES", default_value = "32", value_parser = clap::value_parser!(u16).range(1..))]
    key_length: u16,

    /// The server's key_digest
    #[arg(long, value_name = "NAME", default_value = "sha256")]
    key_digest: Digest,
}

/// The hash functions of the key's derivation.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Digest {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Purpose {
    fn tokens(&self) -> anyhow::Result<Tokens> {
        Ok(Tokens::new(self.secret.read()?))
    }

    fn key(&self) -> KeyOptions {
        let digest = match self.key_digest {
            Digest::Sha1 => KeyDigest::Sha1,
            Digest::Sha256 => KeyDigest::Sha256,
            Digest::Sha384 => KeyDigest::Sha384,
            Digest::Sha512 => KeyDigest::Sha512,
        };
        KeyOptions::new().iterations(self.key_iterations).length(self.key_length.into()).digest(digest)
    }
}

pub(crate) fn run(command: TokenCommand) -> anyhow::Result<Exit> {
    match command {
        TokenCommand::Sign(sign) => sign.run(),
        TokenCommand::Verify(verify) => verify.run(),
        TokenCommand::Inspect(inspect) => inspect::run(&inspect.token()?, inspect.json),
    }
}

impl Sign {
    fn run(&self) -> anyhow::Result<Exit> {
        let data = argument(&self.data)?;
        let data: Value = serde_json::from_str(&data).map_err(|error| {
            failure(Exit::Usage, format!("the data is no JSON ({error}); text is in quotes: '\"some text\"'"))
        })?;
        let options = SignOptions::new().max_age(self.max_age).key(self.purpose.key());
        let (tokens, salt) = (self.purpose.tokens()?, &self.purpose.salt);
        let token = match self.encrypt {
            true => tokens.encrypt_with(salt, &data, &options),
            false => tokens.sign_with(salt, &data, &options),
        };
        writeln!(anstream::stdout(), "{}", token.context("no token can be made of this")?)?;
        Ok(Exit::Done)
    }
}

impl Verify {
    fn run(&self) -> anyhow::Result<Exit> {
        let token = argument(&self.token)?;
        let options = VerifyOptions::new().key(self.purpose.key());
        let options = match self.max_age {
            Some(max_age) => options.max_age(max_age),
            None => options,
        };
        let (tokens, salt) = (self.purpose.tokens()?, &self.purpose.salt);
        let verified = match inspect::is_encrypted(&token) {
            true => tokens.decrypt_with::<Term>(salt, &*token, &options),
            false => tokens.verify_with::<Term>(salt, &*token, &options),
        };
        let verified = verified.map_err(|error| refused(&error))?;
        let data = json::value(&verified.data);
        let (signed_at, expires_at) = (verified.signed_at, verified.expires_at);
        let mut stdout = anstream::stdout();
        if self.json {
            let expires_at = expires_at.map(timestamp);
            let object = json!({"data": data, "signed_at": timestamp(signed_at), "expires_at": expires_at});
            writeln!(stdout, "{}", print::json_text(&object)?)?;
        } else {
            writeln!(stdout, "{}", print::json_text(&data)?)?;
            let expiry =
                expires_at.map_or_else(|| "never expires".to_owned(), |at| format!("expires {}", moment(at)));
            // For people: standard output is the data alone.
            let _ = writeln!(anstream::stderr(), "valid, signed {}, {expiry}", moment(signed_at));
        }
        Ok(Exit::Done)
    }
}

impl Inspect {
    fn token(&self) -> anyhow::Result<String> {
        argument(&self.token)
    }
}

fn refused(error: &TokenError) -> anyhow::Error {
    let (exit, hint) = match error {
        TokenError::Expired => (Exit::ExpiredToken, "; `bennu token inspect` shows when it was signed"),
        TokenError::Invalid => (
            Exit::InvalidToken,
            ": made with another secret, salt or key option, changed on its way, or signed in the future",
        ),
        _ => (Exit::InvalidToken, ""),
    };
    failure(exit, format!("{error}{hint}"))
}

/// An argument, or standard input where it is `-`.
fn argument(text: &str) -> anyhow::Result<String> {
    if text == "-" { secret::file(Path::new("-")) } else { Ok(text.to_owned()) }
}

fn max_age(text: &str) -> Result<MaxAge, String> {
    if text == "infinity" { Ok(MaxAge::Infinity) } else { span::parse(text).map(MaxAge::For) }
}

/// As in RFC 3339; what lies outside the calendar, as seconds since 1970.
fn timestamp(time: SystemTime) -> String {
    match Timestamp::try_from(time) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().to_string(),
    }
}

/// A time and how far from now it is.
fn moment(time: SystemTime) -> String {
    let now = SystemTime::now();
    let distance = match now.duration_since(time) {
        Ok(past) => format!("{} ago", span::describe(past)),
        Err(future) => format!("in {}", span::describe(future.duration())),
    };
    format!("{} ({distance})", timestamp(time))
}

/// A time of milliseconds since 1970, where the clock reaches so far.
fn from_unix_ms(ms: i64) -> Option<SystemTime> {
    let distance = Duration::from_millis(ms.unsigned_abs());
    match ms < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(distance),
        false => SystemTime::UNIX_EPOCH.checked_add(distance),
    }
}
