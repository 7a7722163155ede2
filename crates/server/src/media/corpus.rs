//! Files of the formats that people send, made by the tools that make them, and cut to what the readers look at. `tests/formats/README.md`
//! says how they were made.

use std::io::Cursor;
use std::path::Path;

use super::{FileType, HEAD_BYTES, pictures};
use crate::input::MediaType;
use crate::model::{category, safer_type};

/// Type, category and size as shown, as the manifest has them. The type that it is served as must be the same.
fn judge(bytes: &[u8], declared: Option<&str>, name: &str) -> (String, String, String) {
    let declared = declared.map(|declared| MediaType::parse(declared).unwrap());
    let file_type = FileType::of(&bytes[..bytes.len().min(HEAD_BYTES)], declared.as_ref(), name);
    let found = pictures(&file_type.mime_type, || Some(Cursor::new(bytes)));
    let file_type = file_type.with(found);
    let mime_type = match safer_type(file_type.mime_type.as_str(), Some(&file_type.declared)) {
        served if served == file_type.mime_type => file_type.mime_type,
        served => format!("{}, served as {served}", file_type.mime_type),
    };
    let size = found.dimensions().map_or("-".to_owned(), |(width, height)| format!("{width}x{height}"));
    (category(&mime_type).to_owned(), size, mime_type)
}

#[test]
fn every_format_has_its_type_and_size_however_it_is_declared() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats");
    let manifest = std::fs::read_to_string(directory.join("manifest.tsv")).unwrap();
    let (mut files, mut wrong) = (0, Vec::new());
    for line in manifest.lines() {
        let [name, mime_type, category, size, by_browser] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line:?} has not five fields");
        };
        files += 1;
        let bytes = std::fs::read(directory.join(name)).unwrap();
        let expected = (category.to_owned(), size.to_owned(), mime_type.to_owned());
        let by_browser = (!by_browser.is_empty()).then_some(by_browser);
        // As it is, as nothing in particular, by its name, and as Chromium calls it.
        for declared in [Some(mime_type), Some("application/octet-stream"), None, by_browser] {
            let found = judge(&bytes, declared, name);
            if found != expected {
                wrong.push(format!("{name} as {declared:?} is {found:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(files, std::fs::read_dir(&directory).unwrap().count() - 2, "a file is in no line");
}
