//! What a server promises its clients, for people and programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::Value;
use thiserror::Error;

use crate::channel::TypedChannel;
use crate::event::{ClientEvents, EventShape, Events, ReplyShape, ServerEvents};
use crate::payload::{FromMessage, IntoMessage, Kind, Shape};
use crate::rejection::Rejection;
use crate::schemas::{Merged, Schemas};
use crate::{asyncapi, history, typescript};

/// The TypeScript declarations, in the folder that [`Contract::write`] writes.
const TYPESCRIPT: &str = "channels.d.ts";
/// The AsyncAPI document, in the folder that [`Contract::write`] writes.
const ASYNCAPI: &str = "asyncapi.json";

/// The contract of a server's channels: a TypeScript declaration file and an AsyncAPI 3 document
/// from the types that the server runs on.
///
/// ```
/// # use bennu::prelude::*;
/// # use bennu::typed::{Contract, Empty, NoEvents};
/// # struct RoomChannel;
/// # impl TypedChannel for RoomChannel {
/// #     type Assigns = ();
/// #     type Params = Empty;
/// #     type Response = Empty;
/// #     type In = NoEvents;
/// #     type Out = NoEvents;
/// #     async fn join(_: JoinRequest<()>, _: Empty) -> Result<(Self, Empty), JoinRefusal> {
/// #         Ok((RoomChannel, Empty))
/// #     }
/// #     async fn handle_in(&mut self, event: NoEvents, _: &mut TypedContext<'_, Self>) -> AnswerResult {
/// #         match event {}
/// #     }
/// # }
/// fn contract() -> Contract {
///     Contract::new("Rooms", "1.0.0").channel::<RoomChannel>("room:*")
/// }
///
/// fn main() -> std::io::Result<()> {
///     // `cargo run -- contract web/contract` writes the files, and nothing else happens.
///     if contract().command(std::env::args())? {
///         return Ok(());
///     }
///     Ok(()) // the server
/// }
/// ```
///
/// The files belong into the repository, and a test beside them:
/// `contract().check("web/contract").unwrap();`.
#[derive(Debug)]
pub struct Contract {
    title: String,
    version: String,
    description: Option<String>,
    channels: Vec<ChannelShape>,
    rejection: Shape,
    schemas: Schemas,
}

/// One channel of a contract.
#[derive(Debug, Clone)]
pub(crate) struct ChannelShape {
    /// The name of its Rust type.
    pub(crate) name: String,
    pub(crate) pattern: String,
    pub(crate) params: Shape,
    pub(crate) response: Shape,
    pub(crate) client_events: Vec<EventShape>,
    pub(crate) server_events: Vec<EventShape>,
}

/// A contract whose references and names are settled, for the documents.
pub(crate) struct Settled<'a> {
    pub(crate) title: &'a str,
    pub(crate) version: &'a str,
    pub(crate) description: Option<&'a str>,
    pub(crate) channels: Vec<ChannelShape>,
    /// What every message can be refused with.
    pub(crate) rejection: Shape,
    pub(crate) schemas: BTreeMap<String, Value>,
}

/// A committed contract is not what the types say, or cannot be kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContractError {
    /// A file differs from what the types make.
    #[error(
        "{} is stale from line {line} on: write the contract anew and commit it", file.display()
    )]
    Stale {
        /// The file.
        file: PathBuf,
        /// The first line that differs, from 1.
        line: usize,
    },
    /// A server event has a payload that version 2 of the protocol cannot carry.
    #[error("the payload of {event:?} from {channel} is not always a JSON object or bytes")]
    NotAnObject {
        /// The channel's name in the contract.
        channel: String,
        /// The event.
        event: &'static str,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Contract {
    /// A contract without channels.
    pub fn new(title: impl Into<String>, version: impl Into<String>) -> Self {
        let mut schemas = Schemas::new();
        Contract {
            title: title.into(),
            version: version.into(),
            description: None,
            channels: Vec::new(),
            rejection: <Rejection as IntoMessage>::shape(&mut schemas),
            schemas,
        }
    }

    /// What the server is for, in the AsyncAPI document.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Adds a channel under the pattern by which it is mounted. In the documents it has the name
    /// of its type; of two with one name the second is numbered.
    #[must_use]
    pub fn channel<C: TypedChannel>(mut self, pattern: &str) -> Self {
        let name = self.unused_name(type_name::<C>());
        let params = C::Params::shape(&mut self.schemas);
        let response = C::Response::shape(&mut self.schemas);
        let mut client_events = Events::new(&mut self.schemas);
        C::In::describe(&mut client_events);
        let client_events = client_events.described();
        let mut server_events = Events::new(&mut self.schemas);
        C::Out::describe(&mut server_events);
        let server_events = server_events.described();
        let pattern = pattern.to_owned();
        self.channels.push(ChannelShape { name, pattern, params, response, client_events, server_events });
        self
    }

    /// Says that the channel added last keeps a [history](bennu_server::Channels::history) of these events: its params
    /// may carry `recover`, its response carries the position, and broadcasts of the events `phx_offset`.
    #[must_use]
    pub fn history<'a>(mut self, events: impl IntoIterator<Item = &'a str>) -> Self {
        let kept: Vec<&str> = events.into_iter().collect();
        if let Some(mut channel) = self.channels.pop() {
            channel.params = channel.params.with_members(history::recover());
            channel.response = channel.response.with_members(history::position());
            for event in channel.server_events.iter_mut().filter(|event| kept.contains(&event.name)) {
                let payload = std::mem::replace(&mut event.payload, Shape(Kind::Empty));
                event.payload = payload.with_members(history::offset());
            }
            self.channels.push(channel);
        }
        self
    }

    /// The TypeScript declaration file: types of all payloads, and of channels and sockets that
    /// the official `phoenix` client's can be assigned to.
    #[must_use]
    pub fn typescript(&self) -> String {
        typescript::write(&self.settled())
    }

    /// The AsyncAPI 3.0 document. The server is the application that it describes: what clients
    /// push it receives.
    #[must_use]
    pub fn asyncapi(&self) -> Value {
        asyncapi::document(&self.settled())
    }

    /// Writes `channels.d.ts` and `asyncapi.json` into a folder, which is made if there is none.
    ///
    /// # Errors
    ///
    /// When the folder or a file cannot be written.
    pub fn write(&self, folder: impl AsRef<Path>) -> io::Result<()> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder)?;
        for (name, text) in self.files() {
            fs::write(folder.join(name), text)?;
        }
        Ok(())
    }

    /// Compares the files of a folder with what [`write`](Self::write) would write, for a test.
    ///
    /// # Errors
    ///
    /// [`ContractError`] names the first file that is stale or cannot be read, or a server event
    /// whose payload clients cannot get.
    pub fn check(&self, folder: impl AsRef<Path>) -> Result<(), ContractError> {
        let settled = self.settled();
        for channel in &settled.channels {
            let mut events = channel.server_events.iter();
            if let Some(event) = events.find(|event| !event.payload.is_object(&settled.schemas)) {
                let channel = channel.name.clone();
                return Err(ContractError::NotAnObject { channel, event: event.name });
            }
        }
        for (name, text) in self.files() {
            let file = folder.as_ref().join(name);
            let committed = match fs::read_to_string(&file) {
                Ok(committed) => committed,
                Err(source) => return Err(ContractError::Unreadable { file, source }),
            };
            if let Some(line) = first_difference(&committed, &text) {
                return Err(ContractError::Stale { file, line });
            }
        }
        Ok(())
    }

    /// Serves the command line `contract FOLDER`: writes the files there and says `true`. For any
    /// other arguments it does nothing and says `false`. The first argument is the program's name.
    ///
    /// # Errors
    ///
    /// When the files cannot be written, or `contract` has no folder.
    pub fn command(&self, arguments: impl IntoIterator<Item = String>) -> io::Result<bool> {
        let mut arguments = arguments.into_iter().skip(1);
        if arguments.next().as_deref() != Some("contract") {
            return Ok(false);
        }
        let folder = arguments.next().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "contract needs the folder to write into")
        })?;
        self.write(folder)?;
        Ok(true)
    }

    fn files(&self) -> [(&'static str, String); 2] {
        [(TYPESCRIPT, self.typescript()), (ASYNCAPI, format!("{:#}\n", self.asyncapi()))]
    }

    fn unused_name(&self, name: String) -> String {
        let taken = |name: &str| self.channels.iter().any(|channel| channel.name == name);
        let numbered = (2..).map(|number| format!("{name}{number}"));
        let mut candidates = std::iter::once(name.clone()).chain(numbered);
        candidates.find(|candidate| !taken(candidate)).expect("numbers do not run out")
    }

    fn settled(&self) -> Settled<'_> {
        let names = self.channels.iter().map(|channel| channel.name.clone());
        let taken = names.chain(typescript::RESERVED.iter().map(ToString::to_string)).collect();
        let merged = self.schemas.merge(taken);
        Settled {
            title: &self.title,
            version: &self.version,
            description: self.description.as_deref(),
            channels: self.channels.iter().map(|channel| channel.settled(&merged)).collect(),
            rejection: merged.sent(&self.rejection),
            schemas: merged.schemas,
        }
    }
}

impl ChannelShape {
    fn settled(&self, merged: &Merged) -> Self {
        let client_event = |event: &EventShape| EventShape {
            payload: merged.received(&event.payload),
            reply: event
                .reply
                .as_ref()
                .map(|reply| ReplyShape { ok: merged.sent(&reply.ok), error: merged.sent(&reply.error) }),
            ..event.clone()
        };
        let server_event =
            |event: &EventShape| EventShape { payload: merged.sent(&event.payload), ..event.clone() };
        ChannelShape {
            name: self.name.clone(),
            pattern: self.pattern.clone(),
            params: merged.received(&self.params),
            response: merged.sent(&self.response),
            client_events: self.client_events.iter().map(client_event).collect(),
            server_events: self.server_events.iter().map(server_event).collect(),
        }
    }
}

impl EventShape {
    /// What can answer it: an event without a reply can still be refused.
    pub(crate) fn replies<'a>(&'a self, rejection: &'a Shape) -> (Option<&'a Shape>, Vec<&'a Shape>) {
        match &self.reply {
            None => (None, vec![rejection]),
            Some(ReplyShape { ok, error }) if error == rejection => (Some(ok), vec![error]),
            Some(ReplyShape { ok, error }) => (Some(ok), vec![error, rejection]),
        }
    }
}

/// The last segment of a type's path, without its parameters.
fn type_name<C>() -> String {
    let path = std::any::type_name::<C>();
    let path = path.split('<').next().unwrap_or(path);
    path.rsplit("::").next().unwrap_or(path).to_owned()
}

/// The first line, from 1, in which two texts differ.
fn first_difference(one: &str, other: &str) -> Option<usize> {
    if one == other {
        return None;
    }
    let same = one.lines().zip(other.lines()).take_while(|(one, other)| one == other).count();
    Some(same + 1)
}
