//! Tests of presence by its public face.

mod replica;
