//! Identifiers: a UUID that knows what it names, so that a track's is never taken for a job's.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Encode, Type};
use thiserror::Error;
use uuid::Uuid;

/// The identifier of one `T`.
pub struct Id<T> {
    uuid: Uuid,
    of: PhantomData<fn() -> T>,
}

/// What a [`UserId`] names.
#[derive(Debug)]
pub enum OfUser {}
/// What a [`KeyId`] names.
#[derive(Debug)]
pub enum OfKey {}
/// What a [`TrackId`] names.
#[derive(Debug)]
pub enum OfTrack {}
/// What a [`StemId`] names.
#[derive(Debug)]
pub enum OfStem {}
/// What a [`JobId`] names.
#[derive(Debug)]
pub enum OfJob {}
/// What a [`LeaseToken`] names.
#[derive(Debug)]
pub enum OfLease {}
/// What a [`BootId`] names.
#[derive(Debug)]
pub enum OfBoot {}

/// A user.
pub type UserId = Id<OfUser>;
/// An API key (its name in lists, not the secret).
pub type KeyId = Id<OfKey>;
/// A track of a library.
pub type TrackId = Id<OfTrack>;
/// One stem of a track.
pub type StemId = Id<OfStem>;
/// A job of the queue.
pub type JobId = Id<OfJob>;
/// One try at a job: who holds it may write to it. Also names the folder of what the try leaves.
pub type LeaseToken = Id<OfLease>;
/// One run of the server.
pub type BootId = Id<OfBoot>;

/// The text is no identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an identifier: expected a UUID in lower case with hyphens")]
pub struct MalformedId;

impl<T> Id<T> {
    /// A new random identifier.
    pub fn random() -> Self {
        Self::from(Uuid::new_v4())
    }
}

impl<T> From<Uuid> for Id<T> {
    fn from(uuid: Uuid) -> Self {
        Self { uuid, of: PhantomData }
    }
}

impl<T> FromStr for Id<T> {
    type Err = MalformedId;

    /// Takes the hyphenated form in lower case alone: one thing has one spelling in URLs and topics.
    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let id = Self::from(Uuid::from_str(text).map_err(|_| MalformedId)?);
        if id.to_string() == text { Ok(id) } else { Err(MalformedId) }
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}

impl<T> Eq for Id<T> {}

impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.uuid, f)
    }
}

impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.uuid, f)
    }
}

impl<T> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<T, DB: Database> Type<DB> for Id<T>
where
    String: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <String as Type<DB>>::type_info()
    }

    fn compatible(info: &DB::TypeInfo) -> bool {
        <String as Type<DB>>::compatible(info)
    }
}

impl<'q, T, DB: Database> Encode<'q, DB> for Id<T>
where
    String: Encode<'q, DB>,
{
    fn encode_by_ref(&self, buffer: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <String as Encode<'q, DB>>::encode(self.to_string(), buffer)
    }
}

impl<'r, T, DB: Database> Decode<'r, DB> for Id<T>
where
    String: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(<String as Decode<'r, DB>>::decode(value)?.parse()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let id = JobId::from(Uuid::from_u128(0xabcdef));
        assert_eq!(id.to_string().parse::<JobId>().ok(), Some(id));
        let plain = id.to_string();
        let others = [plain.replace('-', ""), plain.to_uppercase(), format!("{{{id}}}")];
        for malformed in ["", "1", "JOB_UUID_HERE"].into_iter().chain(others.iter().map(String::as_str)) {
            assert!(malformed.parse::<JobId>().is_err(), "{malformed}");
        }
    }
}
