//! ASF, which WMV and WMA are: the header has an object for each stream (Microsoft, Advanced Systems Format, sections 3.1 and 3.3).

use crate::media::bounded::Bounded;
use crate::media::{Pictures, Reader};

type Guid = [u8; 16];

const HEADER: Guid = *b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c";
const STREAM_PROPERTIES: Guid = *b"\x91\x07\xdc\xb7\xb7\xa9\xcf\x11\x8e\xe6\x00\xc0\x0c\x20\x53\x65";
const VIDEO: Guid = *b"\xc0\xef\x19\xbc\x4d\x5b\xcf\x11\xa8\xfd\x00\x80\x5f\x5c\x44\x2b";
const AUDIO: Guid = *b"\x40\x9e\x69\xf8\x4d\x5b\xcf\x11\xa8\xfd\x00\x80\x5f\x5c\x44\x2b";

/// Id and size before the fields of an object.
const OBJECT_HEAD_BYTES: u64 = 24;
/// Fields of the header before its objects: their number, and two reserved bytes.
const HEADER_FIELDS_BYTES: u64 = 6;
/// Fields of a stream before those of its kind.
const STREAM_FIELDS_BYTES: u64 = 54;

pub(super) fn pictures(reader: Reader<'_>) -> Pictures {
    streams(&mut Bounded::new(reader)).unwrap_or(Pictures::Unknown)
}

fn streams(file: &mut Bounded<'_>) -> Option<Pictures> {
    if file.bytes()? != HEADER {
        return None;
    }
    let end = u64::from_le_bytes(file.bytes()?);
    let (mut at, mut has_audio) = (OBJECT_HEAD_BYTES + HEADER_FIELDS_BYTES, false);
    while at < end {
        file.step()?;
        file.go_to(at)?;
        let (id, size): (Guid, _) = (file.bytes()?, u64::from_le_bytes(file.bytes()?));
        let kind: Guid = if id == STREAM_PROPERTIES { file.bytes()? } else { [0; 16] };
        match kind {
            VIDEO => {
                file.go_to(at + OBJECT_HEAD_BYTES + STREAM_FIELDS_BYTES)?;
                return Some(Pictures::Sized(file.u32_le()?, file.u32_le()?));
            }
            AUDIO => has_audio = true,
            _ => {}
        }
        at = at.checked_add(size.max(OBJECT_HEAD_BYTES))?;
    }
    has_audio.then_some(Pictures::None)
}
