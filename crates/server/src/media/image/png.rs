//! PNG: chunks (W3C PNG, third edition). The first has the size, and a later one may have Exif data.

use super::{Orientation, tiff};
use crate::media::Reader;
use crate::media::bounded::Bounded;

const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";
/// Length and name before the data of a chunk.
const HEAD_BYTES: u64 = 8;
/// The checksum after them.
const CRC_BYTES: u64 = 4;

pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    let mut file = Bounded::new(reader);
    if file.bytes()? != *SIGNATURE {
        return None;
    }
    let (mut sides, mut orientation) = (None, Orientation::default());
    let mut at = SIGNATURE.len() as u64;
    while file.step().is_some() && file.go_to(at).is_some() {
        let (Some(length), Some(name)) = (file.u32(), file.bytes::<4>()) else { break };
        match &name {
            b"IHDR" => sides = Some((file.u32()?, file.u32()?)),
            b"eXIf" => orientation = tiff::orientation(&mut file, at + HEAD_BYTES).unwrap_or_default(),
            // Browsers look no further before they show the picture.
            b"IDAT" | b"IEND" => break,
            _ => {}
        }
        at += HEAD_BYTES + u64::from(length) + CRC_BYTES;
    }
    sides.map(|(width, height)| orientation.shown(width, height))
}
