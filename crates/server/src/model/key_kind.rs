//! Kinds of API keys.

/// Kind of an API key: what its holder may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Allows everything in its workspace. `sk_…`
    Private,
    /// Allows uploads, and requests on the uploads that it started. Safe in a browser. `pk_…`
    Public,
}

impl KeyKind {
    /// The name that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }

    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Private, Self::Public];

    /// The kind of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Prefix of the keys of this kind.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Private => "sk_",
            Self::Public => "pk_",
        }
    }
}
