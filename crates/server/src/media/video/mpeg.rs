//! MPEG-1 and MPEG-2 video (ISO/IEC 11172-2, 13818-2), alone or in a program stream: the sequence header has the size.

use super::STREAM_HEAD_BYTES;
use crate::media::Reader;
use crate::media::bounded::Bounded;

const SEQUENCE_HEADER: &[u8] = b"\0\0\x01\xb3";
/// Begins a part of the header that only MPEG-2 has.
const EXTENSION: &[u8] = b"\0\0\x01\xb5";
/// Bytes of a sequence header, with both tables that it may have.
const MAX_HEADER_BYTES: usize = 140;

pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    of_first_sequence(&Bounded::new(reader).up_to(STREAM_HEAD_BYTES)?)
}

/// The sides of the first sequence in these bytes, in square pixels.
pub(super) fn of_first_sequence(bytes: &[u8]) -> Option<(u32, u32)> {
    let at = find(bytes, SEQUENCE_HEADER)?;
    let header = bytes.get(at + SEQUENCE_HEADER.len()..)?;
    let [first, middle, last, aspect] = *header.first_chunk()?;
    let width = u32::from(first) << 4 | u32::from(middle) >> 4;
    let height = u32::from(middle & 0x0F) << 8 | u32::from(last);
    let is_mpeg2 = find(&header[..header.len().min(MAX_HEADER_BYTES)], EXTENSION).is_some();
    // MPEG-1 has the shape of pixels here instead, which is hardly ever used.
    let shape = match aspect >> 4 {
        2 if is_mpeg2 => Some((4, 3)),
        3 if is_mpeg2 => Some((16, 9)),
        _ => None,
    };
    Some(shape.map_or((width, height), |(across, down)| ((height * across + down / 2) / down, height)))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
