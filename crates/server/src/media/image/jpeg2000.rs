//! JPEG 2000: a file of boxes, or the codestream alone (ITU-T T.800, annexes A and I).

use crate::media::Reader;
use crate::media::bounded::Bounded;
use crate::media::iso_box::find;

/// Start of codestream, and of its size.
const CODESTREAM: [u8; 4] = [0xFF, 0x4F, 0xFF, 0x51];
/// Where the sides of the reference grid begin, after the markers, a length and the capabilities.
const GRID_AT: u64 = 8;

pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    let mut file = Bounded::new(reader);
    if file.bytes()? == CODESTREAM {
        file.go_to(GRID_AT)?;
        let [right, bottom, left, top] = [file.u32()?, file.u32()?, file.u32()?, file.u32()?];
        return Some((right.checked_sub(left)?, bottom.checked_sub(top)?));
    }
    let header = find(&mut file, 0, u64::MAX, b"jp2h")?;
    let image = find(&mut file, header.body, header.end, b"ihdr")?;
    file.go_to(image.body)?;
    let height = file.u32()?;
    Some((file.u32()?, height))
}
