//! The types of settings, each with the text that describes its allowed values.
//!
//! A type that only reads and checks ([`Bytes`], [`Count`]) is never constructed: its setting holds a plain number. Types
//! that keep an invariant or hide their text ([`BaseUrl`], [`Secret`]) are their own values.

mod duration;
mod network;
mod number;
mod size;
mod text;

use std::path::PathBuf;

pub use duration::{Age, Retention, Seconds, print_duration};
pub use network::{BaseUrl, Endpoint, NameServers, Networks};
pub use number::{Connections, Count, Percent};
pub use size::{ByteRate, Bytes, print_bytes};
pub use text::{DatabaseUrl, KeyPrefix, Secret};

use crate::model::{S3Delivery, StorageKind};

/// How a setting is read.
pub trait Setting {
    /// The type that the setting holds.
    type Value;

    /// The allowed values, as the end of "allowed: …".
    const ALLOWED: &'static str;

    /// Whether messages must not show the text.
    const IS_SECRET: bool = false;

    /// Reads the text; `None` when it is not allowed.
    fn parse(text: &str) -> Option<Self::Value>;

    /// The reason why a text is not allowed, where it says more than [`ALLOWED`](Self::ALLOWED): the end of a sentence,
    /// without any secret of the text.
    fn problem(_text: &str) -> Option<String> {
        None
    }
}

impl<T: Setting> Setting for Option<T> {
    type Value = Option<T::Value>;

    const ALLOWED: &'static str = T::ALLOWED;
    const IS_SECRET: bool = T::IS_SECRET;

    fn parse(text: &str) -> Option<Self::Value> {
        if text.is_empty() { Some(None) } else { T::parse(text).map(Some) }
    }

    fn problem(text: &str) -> Option<String> {
        T::problem(text)
    }
}

impl Setting for bool {
    type Value = Self;

    const ALLOWED: &'static str = "`true` or `false`";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Setting for StorageKind {
    type Value = Self;

    const ALLOWED: &'static str = "`local` or `s3`";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Setting for S3Delivery {
    type Value = Self;

    const ALLOWED: &'static str = "`redirect` or `stream`";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "redirect" => Some(Self::Redirect),
            "stream" => Some(Self::Stream),
            _ => None,
        }
    }
}

impl Setting for PathBuf {
    type Value = Self;

    const ALLOWED: &'static str = "a path";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && !text.contains('\0')).then(|| text.into())
    }
}
