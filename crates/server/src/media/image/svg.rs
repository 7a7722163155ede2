//! SVG: `width` and `height` of the root element in CSS pixels; a missing one follows from the other and the `viewBox`.

use std::io::{BufRead, Read};

use quick_xml::Reader as XmlReader;
use quick_xml::events::{BytesStart, Event};

use crate::media::Reader;
use crate::media::text::utf16_units;

/// The root element comes after at most a declaration, comments and a document type.
const HEAD_BYTES: u64 = 64 * 1024;

pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    let mut head = Vec::new();
    reader.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    let sides = match utf16(&head) {
        Some(text) => root(text.as_bytes(), of_root),
        None => root(head.as_slice(), of_root),
    };
    sides.flatten()
}

/// Whether the first element of the text is `svg`.
pub(in crate::media) fn has_svg_root(head: &[u8]) -> bool {
    root(head, |_| ()).is_some()
}

/// The text of a file in UTF-16 with a byte order mark.
fn utf16(head: &[u8]) -> Option<String> {
    let units: Vec<u16> = utf16_units(head)?.collect();
    // The declaration names the encoding that the text no longer has.
    let text = String::from_utf16_lossy(&units);
    let after_declaration = text.trim_start().strip_prefix("<?xml").and_then(|rest| rest.split_once("?>"));
    Some(after_declaration.map_or(text.as_str(), |(_, rest)| rest).to_owned())
}

/// Applies `read` to the root element, if it is `svg`.
fn root<T>(text: impl BufRead, read: impl FnOnce(&BytesStart<'_>) -> T) -> Option<T> {
    let mut xml = XmlReader::from_reader(text);
    let mut buffer = Vec::new();
    loop {
        match xml.read_event_into(&mut buffer).ok()? {
            Event::Start(element) | Event::Empty(element) => {
                return (element.local_name().as_ref() == b"svg").then(|| read(&element));
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
    let view_box = attribute("viewBox").and_then(|text| view_box(&text));
    let (width, height) = match (side("width"), side("height"), view_box) {
        (Some(width), Some(height), _) => (width, height),
        (Some(width), None, Some((of_width, of_height))) => (width, width * of_height / of_width),
        (None, Some(height), Some((of_width, of_height))) => (height * of_width / of_height, height),
        (_, _, Some(sides)) => sides,
        (_, _, None) => return None,
    };
    Some((whole(width)?, whole(height)?))
}

/// Width and height of a `viewBox`.
fn view_box(text: &str) -> Option<(f64, f64)> {
    let mut numbers = text.split([' ', ',', '\t', '\n', '\r']).filter(|number| !number.is_empty()).skip(2);
    let mut side = || numbers.next()?.parse().ok().filter(|side: &f64| side.is_finite() && *side > 0.0);
    Some((side()?, side()?))
}

/// A length in CSS pixels (CSS Values, section 6). `None` for percentages, which depend on where the picture is shown.
fn pixels(text: &str) -> Option<f64> {
    const PIXELS_PER_INCH: f64 = 96.0;
    // The font size that browsers have by default, in pixels.
    const EM: f64 = 16.0;
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic() || c == '%').unwrap_or(text.len()));
    // In `1e3` the letter belongs to the number.
    let (number, unit) = if text.parse::<f64>().is_ok() { (text, "") } else { (number, unit) };
    let per_unit = match unit.to_ascii_lowercase().as_str() {
        "" | "px" => 1.0,
        "in" => PIXELS_PER_INCH,
        "cm" => PIXELS_PER_INCH / 2.54,
        "mm" => PIXELS_PER_INCH / 25.4,
        "q" => PIXELS_PER_INCH / 101.6,
        "pt" => PIXELS_PER_INCH / 72.0,
        "pc" => PIXELS_PER_INCH / 6.0,
        "em" | "rem" => EM,
        "ex" | "ch" => EM / 2.0,
        _ => return None,
    };
    let length = number.trim().parse::<f64>().ok()? * per_unit;
    (length.is_finite() && length > 0.0).then_some(length)
}

/// A length as a number of pixels, rounded.
fn whole(length: f64) -> Option<u32> {
    let rounded = length.round();
    (rounded >= 1.0 && rounded <= f64::from(u32::MAX)).then_some(rounded as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_that_in_css_pixels() {
        for (root_element, sides) in [
            (r#"<svg width="400" height="300.4px"/>"#, Some((400, 300))),
            (r#"<svg width="210mm" height="297mm" viewBox="0 0 210 297"/>"#, Some((794, 1123))),
            (r#"<svg width="1in" height="72pt"/>"#, Some((96, 96))),
            (r#"<svg width="1em" height="1EM" viewBox="0 0 24 24"/>"#, Some((16, 16))),
            (r#"<svg width="800" viewBox="0 0 400 300"/>"#, Some((800, 600))),
            (r#"<svg height="600" viewBox="0,0,400,300"/>"#, Some((800, 600))),
            (r#"<svg width="100%" height="100%" viewBox="0 0 400 300"/>"#, Some((400, 300))),
            (r#"<svg width="4e2" height="3E2"/>"#, Some((400, 300))),
            (r#"<svg width="800"/>"#, None),
            (r#"<svg width="-1" height="0" viewBox="0 0 0 5"/>"#, None),
            (r#"<html><svg width="1" height="1"/></html>"#, None),
        ] {
            assert_eq!(root(root_element.as_bytes(), of_root).flatten(), sides, "{root_element}");
        }
    }
}
