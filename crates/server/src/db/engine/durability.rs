//! Properties that a write asks of an engine.

/// What a write must survive once it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, `kill -9` included. Reaches the disk within about a second.
    Process,
    /// A power cut. All that PostgreSQL answers does.
    PowerLoss,
}

/// Whether a write may take of the room that is kept for the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db) enum Purpose {
    /// It frees something, or is one without which nothing can be freed.
    Free,
    /// Any other.
    Other,
}
