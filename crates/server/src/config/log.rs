//! The log (standard error).

use super::section::section;
use super::value::Setting;

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line, for log collectors.
    Json,
}

impl Setting for LogFormat {
    type Value = Self;

    const ALLOWED: &'static str = "`text` or `json`";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

section! {
    #[doc = "The log (standard error)."]
    pub struct LogSettings {
        #[doc = "Format of log lines."]
        format: LogFormat = "log.format", "text";
        #[doc = "Level of the log, then levels of single modules, such as `info,partway_server::jobs=debug`."]
        filter: String = "log.filter", "info";
    }
}
