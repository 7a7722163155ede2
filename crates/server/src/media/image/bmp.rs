//! BMP: the header of the bitmap follows that of the file. A negative height counts from the top.

use crate::media::Reader;
use crate::media::bounded::Bounded;

const FILE_HEADER_BYTES: u64 = 14;
/// The header of OS/2 1.x, whose sides have 16 bits.
const CORE_HEADER_BYTES: u32 = 12;

pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    let mut file = Bounded::new(reader);
    if file.bytes()? != *b"BM" {
        return None;
    }
    file.go_to(FILE_HEADER_BYTES)?;
    match file.u32_le()? {
        CORE_HEADER_BYTES => Some((file.u16_le()?.into(), file.u16_le()?.into())),
        _ => Some((file.u32_le()?.cast_signed().unsigned_abs(), file.u32_le()?.cast_signed().unsigned_abs())),
    }
}
