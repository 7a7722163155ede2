//! The media types of text.

/// Types of text that are not named so and of which no browser runs anything, in addition to `…+json`.
const DATA: [&str; 7] = [
    "application/json",
    "application/x-ndjson",
    "application/yaml",
    "application/toml",
    "application/x-subrip",
    "application/x-sh",
    "application/vnd.apple.mpegurl",
];
/// The other types of text that are not named so, in addition to markup.
const OTHER: [&str; 2] = ["application/x-pem-file", "message/rfc822"];

/// Whether files of the type are text that programs read and no browser runs. `text/…` is not counted here.
pub(super) fn is_data(essence: &str) -> bool {
    DATA.contains(&essence) || essence.ends_with("+json")
}

/// Whether files of the type may name their encoding themselves.
pub fn is_markup(essence: &str) -> bool {
    essence == "text/html" || essence == "application/xml" || essence.ends_with("+xml")
}

/// Whether files of the type are text.
pub fn is_text_type(essence: &str) -> bool {
    essence.starts_with("text/") || is_data(essence) || is_markup(essence) || OTHER.contains(&essence)
}
