//! Properties that a write asks of an engine.

/// The event that a write must survive once it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, including `kill -9`. The write reaches the disk within about a second.
    Process,
    /// A power cut. All writes to PostgreSQL survive one.
    PowerLoss,
}

/// Whether a write may use the reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db) enum Purpose {
    /// It frees something, or freeing depends on it.
    Free,
    /// Any other write.
    Other,
}
