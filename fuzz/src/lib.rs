//! Properties of Partway's parsers of outside input, one function for each fuzz target. Each panics when its property does not hold.
//!
//! The server's tests include this file and run every function on its seeds, so a property that no longer compiles or holds fails
//! there, without a fuzzer.

mod headers;
mod json;
mod media;
mod names;
mod settings;
mod stored;
mod upload;

/// Panics when a property does not hold for the input.
pub type Property = fn(&[u8]);

/// Every fuzz target. `fuzz_targets/NAME.rs` calls its function, `seeds/NAME/` has inputs to begin with.
pub const TARGETS: [(&str, Property); 17] = [
    ("conditional", headers::conditional),
    ("content_digest", headers::content_digest),
    ("disposition", headers::disposition),
    ("folder_path", names::folder_path),
    ("form", upload::form),
    ("image", media::image),
    ("listing_xml", stored::listing_xml),
    ("media_type", names::media_type),
    ("metadata", json::metadata),
    ("mp4", media::mp4),
    ("part_url", upload::part_url),
    ("range", headers::range),
    ("settings", settings::settings),
    ("start_upload", json::start_upload),
    ("svg", media::svg),
    ("video", media::video),
    ("webm", media::webm),
];

/// Runs the target of this name.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("every target is in the list");
    target(data);
}

/// Splits a number off the front; missing bytes are zero.
fn number(data: &[u8]) -> (u64, &[u8]) {
    let (front, rest) = data.split_at(data.len().min(8));
    let mut bytes = [0; 8];
    bytes[..front.len()].copy_from_slice(front);
    (u64::from_le_bytes(bytes), rest)
}
