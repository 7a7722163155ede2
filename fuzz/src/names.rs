//! Names of files and folders, and types.

use http::HeaderValue;
use partway_server::fuzzing::FileType;
use partway_server::input::{FileName, FolderName, FolderPath, MediaType, extension};

const MAX_NAME_BYTES: usize = 255;

fn assert_segment(name: &str) {
    assert!((1..=MAX_NAME_BYTES).contains(&name.len()) && name != "." && name != "..", "{name:?}");
    assert!(!name.contains(['/', '\\']) && !name.chars().any(char::is_control), "{name:?}");
}

/// Names and paths are within their bounds, and are read as themselves when they come again.
pub fn folder_path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(path) = FolderPath::parse(text) {
        path.as_str().split_terminator('/').for_each(assert_segment);
        assert_eq!(FolderPath::parse(path.as_str()), Ok(path));
    }
    if let Ok(name) = FolderName::parse(text) {
        assert_segment(name.as_str());
        assert_eq!(FolderName::parse(name.as_str()), Ok(name));
    }
    if let Some(name) = FileName::nearest(text) {
        assert_segment(name.as_str());
        assert_eq!(FileName::parse(name.as_str()), Ok(name));
    }
    let Ok(name) = FileName::parse(text) else { return };
    assert_segment(name.as_str());
    for other in [name.with_random_prefix(), name.with_extension_of("a.txt"), name.with_extension_of(text)] {
        other.iter().for_each(|name| assert_segment(name.as_str()));
    }
    let kept = name.with_extension_of("a.txt");
    assert!(kept.is_err() || kept.is_ok_and(|name| name.as_str().to_ascii_lowercase().ends_with(".txt")));
    assert_eq!(FileName::parse(name.as_str()), Ok(name));
}

/// A type is a header that reads as itself, and its extension could stand in a file's name.
pub fn media_type(data: &[u8]) {
    let (declared, head) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let Ok(text) = std::str::from_utf8(declared) else { return };
    let likely = MediaType::likely(MediaType::of_header(text), text);
    for media_type in [MediaType::parse(text).ok(), Some(likely)].into_iter().flatten() {
        assert!(HeaderValue::from_str(media_type.as_str()).is_ok());
        assert_eq!(MediaType::parse(media_type.as_str()).as_ref(), Ok(&media_type));
        let found = FileType::of(head, Some(&media_type), text);
        let extension = extension(&found.mime_type, text);
        assert!(!extension.contains(['/', '\\', '\0']), "{extension:?}");
        assert!(MediaType::parse(&found.mime_type).is_ok(), "{found:?}");
        assert_eq!(found.declared, media_type.as_str());
    }
}
