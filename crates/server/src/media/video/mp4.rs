//! MP4 and QuickTime (ISO/IEC 14496-12; QuickTime File Format). The tracks are in `moov`, which may be at the end of the file.

use super::stretched;
use crate::media::bounded::Bounded;
use crate::media::iso_box::{IsoBox, box_at, find};
use crate::media::{Pictures, Reader};

/// One in the fixed-point numbers of a matrix.
const ONE: i32 = 0x1_0000;
/// Bytes of the width, the height and all else of a picture's sample entry that come before its own boxes.
const VISUAL_ENTRY_BYTES: u64 = 78;

pub(super) fn pictures(reader: Reader<'_>) -> Pictures {
    let mut file = Bounded::new(reader);
    match tracks(&mut file) {
        Some(Tracks { sides: Some((width, height)), .. }) => Pictures::Sized(width, height),
        // A track with pictures whose size is not known counts as one.
        Some(Tracks { has_video: false, has_audio: true, .. }) => Pictures::None,
        _ => Pictures::Unknown,
    }
}

/// Sides of the first track that has any, as they are shown.
pub(in crate::media) fn shown_sides(file: &mut Bounded<'_>) -> Option<(u32, u32)> {
    tracks(file)?.sides
}

#[derive(Default)]
struct Tracks {
    sides: Option<(u32, u32)>,
    has_video: bool,
    has_audio: bool,
}

/// All tracks, or those up to the first with sides; `None` when they cannot be read to their end.
fn tracks(file: &mut Bounded<'_>) -> Option<Tracks> {
    let moov = find(file, 0, u64::MAX, b"moov")?;
    let (mut tracks, mut at) = (Tracks::default(), moov.body);
    while at < moov.end {
        let found = box_at(file, at, moov.end)?;
        at = found.end;
        if found.kind != *b"trak" {
            continue;
        }
        match &handler(file, &found)? {
            b"vide" | b"pict" | b"auxv" => tracks.has_video = true,
            b"soun" => tracks.has_audio = true,
            _ => {}
        }
        // The header of a sound track has no sides. Some writers do not say that a track has pictures.
        if let Some(sides) = sides_of(file, &found) {
            return Some(Tracks { sides: Some(sides), ..tracks });
        }
    }
    Some(tracks)
}

/// The kind of a track's media.
fn handler(file: &mut Bounded<'_>, track: &IsoBox) -> Option<[u8; 4]> {
    let media = find(file, track.body, track.end, b"mdia")?;
    let handler = find(file, media.body, media.end, b"hdlr")?;
    // After version, flags and the kind of handler.
    file.go_to(handler.body + 8)?;
    file.bytes()
}

/// The sides of a track, stretched and turned by quarters as its header says.
fn sides_of(file: &mut Bounded<'_>, track: &IsoBox) -> Option<(u32, u32)> {
    let header = find(file, track.body, track.end, b"tkhd")?;
    // Matrix, width and height are the last fields of the header.
    file.go_to(header.end.checked_sub(44).filter(|at| *at >= header.body)?)?;
    let mut matrix = [0_i32; 9];
    for number in &mut matrix {
        *number = file.u32()?.cast_signed();
    }
    let (width, height) = (file.u32()? >> 16, file.u32()? >> 16);
    if width == 0 || height == 0 {
        return None;
    }
    let (width, height) = in_square_pixels(file, track, (width, height)).unwrap_or((width, height));
    // A quarter turn, in either direction. A matrix of zeros turns nothing.
    let [a, b, _, c, d, ..] = matrix;
    let is_turned = a == 0 && d == 0 && b.abs() == ONE && c.abs() == ONE;
    Some(if is_turned { (height, width) } else { (width, height) })
}

/// The sides in square pixels, of a track whose header has those of the coded picture: QuickTime leaves stretching to the player.
fn in_square_pixels(file: &mut Bounded<'_>, track: &IsoBox, header: (u32, u32)) -> Option<(u32, u32)> {
    let mut inside = find(file, track.body, track.end, b"mdia")?;
    for kind in [b"minf", b"stbl", b"stsd"] {
        inside = find(file, inside.body, inside.end, kind)?;
    }
    // After version, flags and the count of entries.
    let entry = box_at(file, inside.body + 8, inside.end)?;
    file.go_to(entry.body + 24)?;
    let coded = (u32::from(file.u16()?), u32::from(file.u16()?));
    if coded != header {
        return None;
    }
    let ratio = find(file, entry.body + VISUAL_ENTRY_BYTES, entry.end, b"pasp")?;
    file.go_to(ratio.body)?;
    let (horizontal, vertical) = (file.u32()?, file.u32()?);
    Some((stretched(coded.0, horizontal, vertical)?, coded.1))
}
