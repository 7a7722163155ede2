//! The steps of migrations that SQL cannot say, each in a file beside its SQL.
//!
//! Invariant: a file here is never changed once its version was released, and uses nothing that may change with the schema.

pub(super) mod m0004;
