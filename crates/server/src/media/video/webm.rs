//! WebM and Matroska: EBML (RFC 8794, RFC 9559). The dimensions are in the video settings of a track entry.

use super::stretched;
use crate::media::bounded::Bounded;
use crate::media::{Pictures, Reader};

const SEGMENT: u32 = 0x1853_8067;
const TRACKS: u32 = 0x1654_AE6B;
const TRACK_ENTRY: u32 = 0xAE;
const TRACK_TYPE: u32 = 0x83;
const VIDEO: u32 = 0xE0;
const PIXEL_WIDTH: u32 = 0xB0;
const PIXEL_HEIGHT: u32 = 0xBA;
const CROP_BOTTOM: u32 = 0x54AA;
const CROP_TOP: u32 = 0x54BB;
const CROP_LEFT: u32 = 0x54CC;
const CROP_RIGHT: u32 = 0x54DD;
const DISPLAY_WIDTH: u32 = 0x54B0;
const DISPLAY_HEIGHT: u32 = 0x54BA;
const DISPLAY_UNIT: u32 = 0x54B2;
const PROJECTION: u32 = 0x7670;
const POSE_ROLL: u32 = 0x7675;

/// The types of tracks with pictures and with sound.
const VIDEO_TRACK: u32 = 1;
const AUDIO_TRACK: u32 = 2;
/// Units of display sides: pixels, and a ratio alone.
const UNIT_PIXELS: u32 = 0;
const UNIT_RATIO: u32 = 3;

struct Element {
    id: u32,
    body: u64,
    /// `u64::MAX` where the size is unknown, as in live recordings.
    end: u64,
}

pub(super) fn pictures(reader: Reader<'_>) -> Pictures {
    tracks(&mut Bounded::new(reader)).unwrap_or(Pictures::Unknown)
}

fn tracks(file: &mut Bounded<'_>) -> Option<Pictures> {
    let segment = find(file, 0, u64::MAX, SEGMENT)?;
    let tracks = find(file, segment.body, segment.end, TRACKS)?;
    let (mut has_audio, mut at) = (false, tracks.body);
    while at < tracks.end {
        let entry = element_at(file, at, tracks.end)?;
        at = entry.end;
        if entry.id != TRACK_ENTRY {
            continue;
        }
        match number_in(file, &entry, TRACK_TYPE) {
            Some(AUDIO_TRACK) => has_audio = true,
            Some(VIDEO_TRACK) => {
                return video_sides(file, &entry).map(|(width, height)| Pictures::Sized(width, height));
            }
            _ => {}
        }
    }
    Some(if has_audio { Pictures::None } else { Pictures::Unknown })
}

/// The sides of a track in pixels as they are shown: cropped, stretched and turned.
fn video_sides(file: &mut Bounded<'_>, entry: &Element) -> Option<(u32, u32)> {
    let video = find(file, entry.body, entry.end, VIDEO)?;
    let mut number = |id: u32| number_in(file, &video, id);
    let crop = |sides: u32, first: Option<u32>, last: Option<u32>| {
        sides.checked_sub(first.unwrap_or_default())?.checked_sub(last.unwrap_or_default())
    };
    let pixels = (number(PIXEL_WIDTH)?, number(PIXEL_HEIGHT)?);
    let width = crop(pixels.0, number(CROP_LEFT), number(CROP_RIGHT))?;
    let height = crop(pixels.1, number(CROP_TOP), number(CROP_BOTTOM))?;
    let display = (number(DISPLAY_WIDTH).filter(|side| *side > 0), number(DISPLAY_HEIGHT).filter(|side| *side > 0));
    // mkvmerge leaves the sides of the whole picture there when it crops, and players do not stretch the rest to them.
    let display = if display == (Some(pixels.0), Some(pixels.1)) { (None, None) } else { display };
    let (width, height) = match (number(DISPLAY_UNIT).unwrap_or(UNIT_PIXELS), display) {
        (UNIT_PIXELS, (shown_width, shown_height)) => (shown_width.unwrap_or(width), shown_height.unwrap_or(height)),
        (UNIT_RATIO, (Some(horizontal), Some(vertical))) => (stretched(height, horizontal, vertical)?, height),
        // Centimetres and inches say nothing of pixels.
        _ => (width, height),
    };
    Some(if is_on_its_side(file, &video) { (height, width) } else { (width, height) })
}

/// Whether the picture is turned by a quarter.
fn is_on_its_side(file: &mut Bounded<'_>, video: &Element) -> bool {
    let mut roll = || {
        let projection = find(file, video.body, video.end, PROJECTION)?;
        let roll = find(file, projection.body, projection.end, POSE_ROLL)?;
        file.go_to(roll.body)?;
        match roll.end - roll.body {
            4 => file.bytes().map(|bytes| f64::from(f32::from_be_bytes(bytes))),
            8 => file.bytes().map(f64::from_be_bytes),
            _ => None,
        }
    };
    roll().is_some_and(|degrees| (degrees.abs() - 90.0).abs() < 1.0 || (degrees.abs() - 270.0).abs() < 1.0)
}

/// A number in an element.
fn number_in(file: &mut Bounded<'_>, parent: &Element, id: u32) -> Option<u32> {
    let element = find(file, parent.body, parent.end, id)?;
    number(file, &element)
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
