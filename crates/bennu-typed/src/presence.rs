//! The events of presence, for a contract that has them.

use std::borrow::Cow;
use std::marker::PhantomData;

use bennu_presence::{Diff, Presences, State};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::value::RawValue;

/// The payload of `presence_state`, whose metas are `M`: the type of what is tracked.
///
/// ```
/// # use bennu::prelude::*;
/// # use bennu::typed::{PresenceDiff, PresenceState};
/// # #[derive(serde::Serialize, schemars::JsonSchema)] struct Member { online_at: u64 }
/// #[derive(ServerEvents)]
/// enum RoomOut {
///     #[event("presence_state")]
///     PresenceState(PresenceState<Member>),
///     #[event("presence_diff")]
///     #[expect(dead_code, reason = "presence broadcasts it")]
///     PresenceDiff(PresenceDiff<Member>),
/// }
///
/// # async fn example(owner: presence::Owner) -> RoomOut {
/// // In `after_join`, for `cx.push`:
/// RoomOut::PresenceState(owner.state("room:1").await.into())
/// # }
/// ```
#[derive(Debug, Clone, Serialize)]
#[serde(transparent, bound = "")]
#[doc(alias = "presence_state")]
pub struct PresenceState<M> {
    presences: Listed,
    #[serde(skip)]
    meta: PhantomData<fn() -> M>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum Listed {
    Values(Presences),
    Text(Box<RawValue>),
}

impl<M> From<Presences> for PresenceState<M> {
    fn from(presences: Presences) -> Self {
        PresenceState { presences: Listed::Values(presences), meta: PhantomData }
    }
}

/// Of a topic whose clients are told [how many](bennu_presence::Crowd::Count) there are alone, nobody.
impl<M> From<State> for PresenceState<M> {
    fn from(state: State) -> Self {
        // Presence writes JSON.
        let text = state.presences().and_then(|presences| presences.parse().ok());
        let presences = text.map_or_else(|| Listed::Values(Presences::default()), Listed::Text);
        PresenceState { presences, meta: PhantomData }
    }
}

impl<M: JsonSchema> JsonSchema for PresenceState<M> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}Presences", M::schema_name()).into()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("bennu_typed::PresenceState<{}>", M::schema_id()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let meta = generator.subschema_for::<M>();
        json_schema!({
            "description": "Who is there, by key.",
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "metas": {
                        "type": "array",
                        "items": {
                            "allOf": [meta, {
                                "type": "object",
                                "properties": {
                                    "phx_ref": { "type": "string" },
                                    "phx_ref_prev": { "type": "string" },
                                },
                                "required": ["phx_ref"],
                            }],
                        },
                    },
                },
                "required": ["metas"],
            },
        })
    }
}

/// The payload of `presence_diff`, whose metas are `M`; see [`PresenceState`]. Presence itself broadcasts it.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent, bound = "")]
#[doc(alias = "presence_diff")]
pub struct PresenceDiff<M> {
    diff: Diff,
    #[serde(skip)]
    meta: PhantomData<fn() -> M>,
}

impl<M> From<Diff> for PresenceDiff<M> {
    fn from(diff: Diff) -> Self {
        PresenceDiff { diff, meta: PhantomData }
    }
}

impl<M: JsonSchema> JsonSchema for PresenceDiff<M> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}PresenceDiff", M::schema_name()).into()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("bennu_typed::PresenceDiff<{}>", M::schema_id()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let presences = generator.subschema_for::<PresenceState<M>>();
        json_schema!({
            "description": "Who came, and who is gone.",
            "type": "object",
            "properties": { "joins": presences, "leaves": presences },
            "required": ["joins", "leaves"],
        })
    }
}

/// The payload of `presence_count`: how many keys there are on a topic whose clients are [not told all](bennu_presence::Crowd).
/// Presence itself broadcasts it; a client that joins is sent `presence.count(topic).into()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[doc(alias = "presence_count")]
pub struct PresenceCount {
    /// How many.
    pub count: usize,
}

impl From<usize> for PresenceCount {
    fn from(count: usize) -> Self {
        PresenceCount { count }
    }
}
