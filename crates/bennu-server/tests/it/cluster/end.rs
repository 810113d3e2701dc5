//! The end of a node.
