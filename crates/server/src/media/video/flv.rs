//! FLV: the first tag is a script, whose object `onMetaData` has width and height (Adobe, Video File Format Specification 10.1, annex E).

use crate::media::Reader;
use crate::media::bounded::Bounded;

const SCRIPT: u8 = 18;
/// Tags before the one with the script.
const MAX_TAGS: usize = 8;
/// Bytes of a script that are searched. Lists of key frames, which may be long, come after the sides.
const SCRIPT_BYTES: u16 = 16 * 1024;

pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    let mut file = Bounded::new(reader);
    let [_version, _flags] = if file.bytes()? == *b"FLV" { file.bytes()? } else { return None };
    let mut at = u64::from(file.u32()?);
    for _ in 0..MAX_TAGS {
        // After the size of the tag before.
        file.go_to(at + 4)?;
        let kind = file.u8()?;
        let [high, middle, low] = file.bytes()?;
        let size = u32::from_be_bytes([0, high, middle, low]);
        let _time_and_stream = file.bytes::<7>()?;
        let body = file.position()?;
        if kind == SCRIPT {
            let script = file.up_to(u16::try_from(size).unwrap_or(u16::MAX).min(SCRIPT_BYTES))?;
            return Some((number(&script, b"\0\x05width\0")?, number(&script, b"\0\x06height\0")?));
        }
        at = body + u64::from(size);
    }
    None
}

/// The number after a name and its type, of eight bytes.
fn number(script: &[u8], name_and_type: &[u8]) -> Option<u32> {
    let at = script.windows(name_and_type.len()).position(|window| window == name_and_type)?;
    let number = f64::from_be_bytes(*script.get(at + name_and_type.len()..)?.first_chunk()?);
    (number >= 1.0 && number <= f64::from(u32::MAX)).then_some(number.round() as u32)
}
