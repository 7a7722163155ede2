//! States of an upload session.

/// State of a session. Only `Uploading` has a successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStatus {
    /// Takes parts and owns its blob. May change to any other state.
    Uploading,
    /// Its blob belongs to a file. Final.
    Completed,
    /// The client aborted it; its blob is garbage or deleted. Final.
    Aborted,
    /// It was not completed in time; its blob is garbage or deleted. Final.
    Expired,
}

impl SessionStatus {
    /// The name that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Completed => "completed",
            Self::Aborted => "aborted",
            Self::Expired => "expired",
        }
    }

    /// Every status.
    pub const ALL: [Self; 4] = [Self::Uploading, Self::Completed, Self::Aborted, Self::Expired];

    /// The status of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}
