//! JSON bodies.

use partway_server::input::{
    JsonBody, Metadata, ResignParts, SizeLimit, StartRules, StartUpload, TtlLimit, UploadFields,
};
use serde_json::{Map, Value};

const MAX_METADATA_BYTES: usize = 16 * 1024;

fn object(text: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(text).ok()
}

/// A merge sets and removes exactly the members of the change, stays within its limit, and changes nothing the second time.
pub fn metadata(data: &[u8]) {
    let (before, changes) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let (Some(before), Some(changes)) = (object(before), object(changes)) else { return };
    let Ok(merged) = Metadata::merge(before.clone(), changes.clone()) else { return };
    let merged = merged.into_inner();
    let written = serde_json::to_vec(&merged).expect("it was JSON");
    assert!(written.len() <= MAX_METADATA_BYTES);
    assert_eq!(object(&written).as_ref(), Some(&merged));
    for (name, value) in &changes {
        assert_eq!(merged.get(name), Some(value).filter(|value| !value.is_null()));
    }
    for (name, value) in before.iter().filter(|(name, _)| !changes.contains_key(*name)) {
        assert_eq!(merged.get(name), Some(value));
    }
    let again = Metadata::merge(merged.clone(), changes).map(Metadata::into_inner);
    assert_eq!(again, Ok(merged));
}

/// Accepted bodies are within the rules; the messages of refusals have a bounded length.
pub fn start_upload(data: &[u8]) {
    let body = match JsonBody::parse(data) {
        Ok(body) => body,
        Err(error) => return assert!(error.message.len() < 1000, "{} bytes", error.message.len()),
    };
    let max_file = SizeLimit { bytes: 1 << 40, whose: "of this server" };
    let ttl = TtlLimit { seconds: 3600, whose: "" };
    match StartUpload::read(&body, &StartRules { max_file, ttl, random_prefix: false, min_part_bytes: 1024 * 1024 }) {
        Ok(start) => {
            assert!((1..=1 << 40).contains(&start.plan.size_bytes()) && (1..=3600).contains(&start.ttl_seconds));
            assert!(start.webhook_url.is_none_or(|url| url.as_str().starts_with("http")));
            assert!(start.tags.into_inner().len() <= 50);
        }
        Err(error) => assert!(error.message.len() < 1000, "{} bytes", error.message.len()),
    }
    if let Err(error) = UploadFields::read(&body) {
        assert!(error.message.len() < 1000, "{} bytes", error.message.len());
    }
    match ResignParts::read(&body) {
        Ok(resign) => assert!(resign.parts.is_none_or(|parts| parts.len() <= 10_000)),
        Err(error) => assert!(error.message.len() < 1000, "{} bytes", error.message.len()),
    }
}
