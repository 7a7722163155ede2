//! Answers of an S3 store.

use partway_server::fuzzing::{is_completed, listed};

/// A list has no more entries than its text has elements, and nothing counts as completed without its element.
pub fn listing_xml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let elements = text.matches('<').count();
    for entries in listed(text) {
        assert!(entries <= elements, "{entries} of {elements}");
    }
    assert!(!is_completed(text) || text.contains("CompleteMultipartUploadResult"));
}
