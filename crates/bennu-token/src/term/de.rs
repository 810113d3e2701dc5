//! Terms as any deserializable value.

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeOwned, EnumAccess, Error as _, IntoDeserializer, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Term, TermError};

/// Makes a value of a term that an Elixir program would use for it.
///
/// Binaries and atoms are text, `true` and `false` are `bool`, `nil` is `None` or `()`. Lists and
/// tuples both become sequences and tuples; maps have keys that are binaries, atoms or integers.
/// An enum's variant is its name, or a map from its name to what it holds.
///
/// # Errors
///
/// [`TermError::Type`] when the two do not fit.
pub fn from_term<T: DeserializeOwned>(term: Term) -> Result<T, TermError> {
    T::deserialize(term)
}

impl de::Error for TermError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        TermError::Type(message.to_string())
    }
}

impl<'de> de::Deserializer<'de> for Term {
    type Error = TermError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TermError> {
        match self {
            Term::Integer(value) => visitor.visit_i64(value),
            Term::BigInteger(big) => match (big.to_u128(), big.to_i128()) {
                (Some(value), _) if u64::try_from(value).is_ok() => visitor.visit_u64(value as u64),
                (_, Some(value)) => visitor.visit_i128(value),
                (Some(value), _) => visitor.visit_u128(value),
                _ => Err(TermError::custom("an integer of more than 128 bits")),
            },
            Term::Float(value) => visitor.visit_f64(value),
            Term::Atom(name) => match name.as_str() {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                "nil" => visitor.visit_unit(),
                _ => visitor.visit_string(name),
            },
            Term::Binary(bytes) => match String::from_utf8(bytes) {
                Ok(text) => visitor.visit_string(text),
                Err(error) => visitor.visit_byte_buf(error.into_bytes()),
            },
            Term::Tuple(elements) | Term::List(elements) => visit_elements(elements, visitor),
            Term::Map(map) => {
                let mut entries = MapDeserializer::new(map.into_iter());
                let value = visitor.visit_map(&mut entries)?;
                entries.end()?;
                Ok(value)
            }
            Term::Bitstring { .. } => Err(TermError::invalid_type(Unexpected::Other("bits"), &visitor)),
            Term::ImproperList(..) => {
                Err(TermError::invalid_type(Unexpected::Other("an improper list"), &visitor))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TermError> {
        if self.is_nil() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TermError> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TermError> {
        match self {
            Term::Binary(bytes) => visitor.visit_byte_buf(bytes),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TermError> {
        match self {
            Term::Atom(name) => visitor.visit_string(name),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TermError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TermError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, TermError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TermError> {
        let (name, content) = match self {
            Term::Map(map) if map.len() == 1 => {
                let (key, value) = map.into_iter().next().expect("it has one entry");
                (key, Some(value))
            }
            name => (name, None),
        };
        match name.as_str().or(name.as_atom()) {
            Some(variant) => visitor.visit_enum(Variant { name: variant.to_owned(), content }),
            None => Err(TermError::custom("the name of a variant is text or an atom")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char unit unit_struct seq tuple
        tuple_struct map struct ignored_any
    }
}

fn visit_elements<'de, V: Visitor<'de>>(elements: Vec<Term>, visitor: V) -> Result<V::Value, TermError> {
    let mut elements = SeqDeserializer::new(elements.into_iter());
    let value = visitor.visit_seq(&mut elements)?;
    elements.end()?;
    Ok(value)
}

impl IntoDeserializer<'_, TermError> for Term {
    type Deserializer = Term;

    fn into_deserializer(self) -> Term {
        self
    }
}

/// One variant of an enum, with what it holds.
struct Variant {
    name: String,
    content: Option<Term>,
}

impl Variant {
    fn content(self) -> Result<Term, TermError> {
        self.content.ok_or_else(|| TermError::custom("the variant holds nothing"))
    }
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = TermError;
    type Variant = Variant;

    fn variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Variant), TermError> {
        let name: StrDeserializer<'_, TermError> = self.name.as_str().into_deserializer();
        let value = seed.deserialize(name)?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = TermError;

    fn unit_variant(self) -> Result<(), TermError> {
        match self.content {
            None => Ok(()),
            Some(_) => Err(TermError::custom("the variant holds something")),
        }
    }

    fn newtype_variant_seed<S: de::DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, TermError> {
        seed.deserialize(self.content()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, TermError> {
        de::Deserializer::deserialize_any(self.content()?, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, TermError> {
        de::Deserializer::deserialize_any(self.content()?, visitor)
    }
}
