//! Any serializable value as a term.

use serde::ser::{self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple};

use super::{MAX_DEPTH, Map, Term, TermError};

/// Turns a value into the term that an Elixir program would use for it.
///
/// Text and `char`s become binaries, structs and maps become maps with text as keys (keys that
/// are integers stay integers), sequences become lists, tuples and arrays become tuples, `None`
/// and `()` become `nil`. An enum's variant becomes its name, as text, or a map from its name to what it holds.
///
/// # Errors
///
/// [`TermError`] when the value's own `Serialize` fails, a float is not finite, or it nests
/// deeper than [`MAX_DEPTH`].
pub fn to_term<T: Serialize + ?Sized>(value: &T) -> Result<Term, TermError> {
    value.serialize(TermSerializer { depth: 0 })
}

impl ser::Error for TermError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        TermError::Type(message.to_string())
    }
}

#[derive(Clone, Copy)]
struct TermSerializer {
    depth: usize,
}

impl TermSerializer {
    fn deeper(self) -> Result<Self, TermError> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH { Err(TermError::Depth) } else { Ok(TermSerializer { depth }) }
    }

    fn elements(self, kind: fn(Vec<Term>) -> Term) -> Result<Elements, TermError> {
        let inner = self.deeper()?;
        Ok(Elements { inner, elements: Vec::new(), finish: Finish { kind, variant: None } })
    }

    fn entries(self) -> Result<Entries, TermError> {
        let inner = self.deeper()?;
        Ok(Entries { inner, entries: Vec::new(), key: None, variant: None })
    }
}

fn variant_map(variant: Option<&'static str>, content: Term) -> Term {
    match variant {
        Some(name) => Term::map([(name, content)]),
        None => content,
    }
}

macro_rules! serialize_into {
    ($($method:ident: $type:ty),*) => {$(
        fn $method(self, value: $type) -> Result<Term, TermError> {
            Ok(value.into())
        }
    )*};
}

impl ser::Serializer for TermSerializer {
    type Ok = Term;
    type Error = TermError;
    type SerializeSeq = Elements;
    type SerializeTuple = Elements;
    type SerializeTupleStruct = Elements;
    type SerializeTupleVariant = Elements;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = Entries;

    serialize_into!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_str: &str, serialize_bytes: &[u8]
    );

    fn serialize_f32(self, value: f32) -> Result<Term, TermError> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<Term, TermError> {
        if value.is_finite() { Ok(Term::Float(value)) } else { Err(TermError::NotFinite) }
    }

    fn serialize_char(self, value: char) -> Result<Term, TermError> {
        Ok(value.to_string().into())
    }

    fn serialize_none(self) -> Result<Term, TermError> {
        Ok(Term::nil())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Term, TermError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Term, TermError> {
        Ok(Term::nil())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Term, TermError> {
        Ok(Term::nil())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Term, TermError> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Term, TermError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Term, TermError> {
        Ok(variant_map(Some(variant), value.serialize(self.deeper()?)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements, TermError> {
        self.elements(Term::List)
    }

    fn serialize_tuple(self, _: usize) -> Result<Elements, TermError> {
        self.elements(Term::Tuple)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Elements, TermError> {
        self.elements(Term::Tuple)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Elements, TermError> {
        let elements = self.deeper()?.elements(Term::Tuple)?;
        Ok(Elements { finish: Finish { variant: Some(variant), ..elements.finish }, ..elements })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries, TermError> {
        self.entries()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Entries, TermError> {
        self.entries()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Entries, TermError> {
        Ok(Entries { variant: Some(variant), ..self.deeper()?.entries()? })
    }
}

/// A list or tuple that is being filled.
struct Elements {
    inner: TermSerializer,
    elements: Vec<Term>,
    finish: Finish,
}

#[derive(Clone, Copy)]
struct Finish {
    kind: fn(Vec<Term>) -> Term,
    variant: Option<&'static str>,
}

impl Elements {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TermError> {
        self.elements.push(value.serialize(self.inner)?);
        Ok(())
    }

    fn finish(self) -> Result<Term, TermError> {
        Ok(variant_map(self.finish.variant, (self.finish.kind)(self.elements)))
    }
}

impl SerializeSeq for Elements {
    type Ok = Term;
    type Error = TermError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TermError> {
        self.push(value)
    }

    fn end(self) -> Result<Term, TermError> {
        self.finish()
    }
}

impl SerializeTuple for Elements {
    type Ok = Term;
    type Error = TermError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TermError> {
        self.push(value)
    }

    fn end(self) -> Result<Term, TermError> {
        self.finish()
    }
}

impl ser::SerializeTupleStruct for Elements {
    type Ok = Term;
    type Error = TermError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TermError> {
        self.push(value)
    }

    fn end(self) -> Result<Term, TermError> {
        self.finish()
    }
}

impl ser::SerializeTupleVariant for Elements {
    type Ok = Term;
    type Error = TermError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TermError> {
        self.push(value)
    }

    fn end(self) -> Result<Term, TermError> {
        self.finish()
    }
}

/// A map that is being filled.
struct Entries {
    inner: TermSerializer,
    entries: Vec<(Term, Term)>,
    key: Option<Term>,
    variant: Option<&'static str>,
}

impl Entries {
    fn push<T: Serialize + ?Sized>(&mut self, key: Term, value: &T) -> Result<(), TermError> {
        self.entries.push((key, value.serialize(self.inner)?));
        Ok(())
    }

    fn finish(self) -> Result<Term, TermError> {
        let map: Map = self.entries.into_iter().collect();
        Ok(variant_map(self.variant, Term::Map(map)))
    }
}

impl SerializeMap for Entries {
    type Ok = Term;
    type Error = TermError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), TermError> {
        self.key = Some(key.serialize(self.inner)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), TermError> {
        let key = self.key.take().ok_or_else(|| TermError::Type("a value without a key".to_owned()))?;
        self.push(key, value)
    }

    fn end(self) -> Result<Term, TermError> {
        self.finish()
    }
}

impl SerializeStruct for Entries {
    type Ok = Term;
    type Error = TermError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), TermError> {
        self.push(name.into(), value)
    }

    fn end(self) -> Result<Term, TermError> {
        self.finish()
    }
}

impl ser::SerializeStructVariant for Entries {
    type Ok = Term;
    type Error = TermError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), TermError> {
        self.push(name.into(), value)
    }

    fn end(self) -> Result<Term, TermError> {
        self.finish()
    }
}
