//! SVG: `width` and `height` of the root element in pixels, or else its `viewBox`.

use std::io::Read;

use quick_xml::Reader as XmlReader;
use quick_xml::events::{BytesStart, Event};

use super::Reader;

/// The root element comes after at most a declaration, a comment and a document type.
const HEAD_BYTES: u64 = 64 * 1024;

pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    let mut xml = XmlReader::from_reader(reader.take(HEAD_BYTES));
    let mut buffer = Vec::new();
    loop {
        match xml.read_event_into(&mut buffer).ok()? {
            Event::Start(element) | Event::Empty(element) => {
                return (element.local_name().as_ref() == b"svg").then(|| of_root(&element)).flatten();
            }
            Event::Eof => return None,
            _ => buffer.clear(),
        }
    }
}

fn of_root(root: &BytesStart<'_>) -> Option<(u32, u32)> {
    let attribute = |name: &str| {
        let found = root.try_get_attribute(name).ok()??;
        String::from_utf8(found.value.into_owned()).ok()
    };
    let side = |name: &str| attribute(name).and_then(|text| pixels(&text));
    if let (Some(width), Some(height)) = (side("width"), side("height")) {
        return Some((width, height));
    }
    let view_box = attribute("viewBox")?;
    let numbers: Vec<&str> = view_box.split([' ', ',', '\t', '\n']).filter(|number| !number.is_empty()).collect();
    match numbers[..] {
        [_, _, width, height] => Some((pixels(width)?, pixels(height)?)),
        _ => None,
    }
}

/// A length in CSS pixels, rounded. Lengths in other units than `px` depend on where the image is shown.
fn pixels(text: &str) -> Option<u32> {
    let text = text.trim();
    let number: f64 = text.strip_suffix("px").unwrap_or(text).trim().parse().ok()?;
    let rounded = number.round();
    (rounded >= 1.0 && rounded <= f64::from(u32::MAX)).then_some(rounded as u32)
}
