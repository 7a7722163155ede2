//! Ogg: every stream begins with a page of its own (RFC 3533). That of Theora has the size (Theora specification, section 6.2).

use super::stretched;
use crate::media::bounded::Bounded;
use crate::media::{Pictures, Reader};

/// Flag of the first page of a stream.
const BEGINS_STREAM: u8 = 2;
/// Time, stream, number and checksum of a page.
const PAGE_FIELDS_BYTES: u64 = 20;

pub(super) fn pictures(reader: Reader<'_>) -> Pictures {
    let mut file = Bounded::new(reader);
    let (mut at, mut streams) = (0, 0);
    while let Some(page) = first_page(&mut file, at) {
        if file.bytes() == Some(*b"\x80theora") {
            return theora(&mut file).into();
        }
        // Video of other kinds, such as Dirac and VP8, is rare.
        streams += 1;
        at = page.end;
    }
    // Sound whose pages were all seen: the page after them begins no stream.
    if streams > 0 { Pictures::None } else { Pictures::Unknown }
}

struct Page {
    end: u64,
}

/// The page at this position, if it begins a stream. The file is then at its body.
fn first_page(file: &mut Bounded<'_>, at: u64) -> Option<Page> {
    file.step()?;
    file.go_to(at)?;
    let (mark, [_version, flags]) = (file.bytes::<4>()?, file.bytes()?);
    if mark != *b"OggS" || flags & BEGINS_STREAM == 0 {
        return None;
    }
    let fields = file.position()?;
    file.go_to(fields + PAGE_FIELDS_BYTES)?;
    let mut body_bytes = 0_u64;
    for _ in 0..file.u8()? {
        body_bytes += u64::from(file.u8()?);
    }
    Some(Page { end: file.position()? + body_bytes })
}

/// The sides of the visible part, in square pixels.
fn theora(file: &mut Bounded<'_>) -> Option<(u32, u32)> {
    let [_major, _minor, _revision] = file.bytes()?;
    let [_blocks_across, _blocks_down] = [file.u16()?, file.u16()?];
    let (width, height) = (u24(file)?, u24(file)?);
    let [_left, _top] = file.bytes()?;
    let [_frames, _per_seconds] = [file.u32()?, file.u32()?];
    let (horizontal, vertical) = (u24(file)?, u24(file)?);
    // Zeros say that the shape of pixels is not known.
    Some((stretched(width, horizontal, vertical).unwrap_or(width), height))
}

fn u24(file: &mut Bounded<'_>) -> Option<u32> {
    let [high, middle, low] = file.bytes()?;
    Some(u32::from_be_bytes([0, high, middle, low]))
}
