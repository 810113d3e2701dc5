//! The TypeScript declaration file of a contract.

mod declaration;
mod schema;

pub(crate) use declaration::{RESERVED, write};
