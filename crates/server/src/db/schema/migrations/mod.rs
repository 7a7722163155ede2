//! Steps of migrations that SQL cannot express, each in a file next to its SQL.
//!
//! Invariant: a file here never changes after the release of its version, and uses nothing that may change with the schema.

pub(super) mod m0004;
