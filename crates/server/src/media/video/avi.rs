//! AVI: the main header is the first chunk of the first list (Microsoft, AVI RIFF File Reference).

use crate::media::Reader;
use crate::media::bounded::Bounded;

/// Where width and height are in the main header, after eight other fields.
const SIDES_IN_HEADER: u64 = 32;

pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    let mut file = Bounded::new(reader);
    let (riff, _size, avi) = (file.bytes()?, file.u32_le()?, file.bytes()?);
    let (list, _size, header_list) = (file.bytes()?, file.u32_le()?, file.bytes()?);
    let (header, _size) = (file.bytes()?, file.u32_le()?);
    if [riff, avi, list, header_list, header] != [*b"RIFF", *b"AVI ", *b"LIST", *b"hdrl", *b"avih"] {
        return None;
    }
    let body = file.position()?;
    file.go_to(body + SIDES_IN_HEADER)?;
    Some((file.u32_le()?, file.u32_le()?))
}
