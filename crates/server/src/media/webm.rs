//! WebM and Matroska: EBML (RFC 8794, RFC 9559). The dimensions are in the video settings of a track entry.

use super::Reader;
use super::bounded::Bounded;

const SEGMENT: u32 = 0x1853_8067;
const TRACKS: u32 = 0x1654_AE6B;
const TRACK_ENTRY: u32 = 0xAE;
const VIDEO: u32 = 0xE0;
const PIXEL_WIDTH: u32 = 0xB0;
const PIXEL_HEIGHT: u32 = 0xBA;

struct Element {
    id: u32,
    body: u64,
    /// `u64::MAX` where the size is unknown, as in live recordings.
    end: u64,
}

pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    let mut file = Bounded::new(reader);
    let segment = find(&mut file, 0, u64::MAX, SEGMENT)?;
    let tracks = find(&mut file, segment.body, segment.end, TRACKS)?;
    let mut at = tracks.body;
    while let Some(entry) = find(&mut file, at, tracks.end, TRACK_ENTRY) {
        if let Some(video) = find(&mut file, entry.body, entry.end, VIDEO) {
            let width = find(&mut file, video.body, video.end, PIXEL_WIDTH)?;
            let width = number(&mut file, &width)?;
            let height = find(&mut file, video.body, video.end, PIXEL_HEIGHT)?;
            return Some((width, number(&mut file, &height)?));
        }
        at = entry.end;
    }
    None
}

/// The next element with this id between `at` and `end`.
fn find(file: &mut Bounded<'_>, mut at: u64, end: u64, id: u32) -> Option<Element> {
    while at < end {
        file.step()?;
        let element = element_at(file, at, end)?;
        if element.id == id {
            return Some(element);
        }
        at = element.end;
    }
    None
}

fn element_at(file: &mut Bounded<'_>, at: u64, end: u64) -> Option<Element> {
    file.go_to(at)?;
    let (id, _) = variable_number(file, true, 4)?;
    let (size, unknown) = variable_number(file, false, 8)?;
    let body = file.position()?;
    let element_end = if unknown { end } else { body.checked_add(size)? };
    (element_end <= end).then_some(Element { id: u32::try_from(id).ok()?, body, end: element_end })
}

/// A number whose length is the count of leading zeros of its first byte; ids keep the marker bit. The flag says whether all
/// bits are set, which marks an unknown size.
fn variable_number(file: &mut Bounded<'_>, keep_marker: bool, max_bytes: u32) -> Option<(u64, bool)> {
    let [first] = file.bytes()?;
    let more = first.leading_zeros();
    if more >= max_bytes {
        return None;
    }
    let marker = 0x80_u8 >> more;
    let mut value = u64::from(if keep_marker { first } else { first & !marker });
    let mut ones = (first | marker) == (marker | (marker - 1));
    for _ in 0..more {
        let [next] = file.bytes()?;
        ones &= next == 0xFF;
        value = (value << 8) | u64::from(next);
    }
    Some((value, ones))
}

fn number(file: &mut Bounded<'_>, element: &Element) -> Option<u32> {
    file.go_to(element.body)?;
    let length = element.end.checked_sub(element.body).filter(|length| (1..=8).contains(length))?;
    let mut value = 0_u64;
    for _ in 0..length {
        let [next] = file.bytes()?;
        value = (value << 8) | u64::from(next);
    }
    u32::try_from(value).ok()
}
