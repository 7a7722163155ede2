//! Boxes of ISO base media files (ISO/IEC 14496-12, section 4.2), which MP4, QuickTime, HEIF, AVIF and JPEG 2000 are made of.

use super::bounded::Bounded;

/// A box: its kind, and where its body is.
pub(super) struct IsoBox {
    pub(super) kind: [u8; 4],
    pub(super) body: u64,
    pub(super) end: u64,
}

/// The next box of this kind between `at` and `end`.
pub(super) fn find(file: &mut Bounded<'_>, mut at: u64, end: u64, kind: &[u8; 4]) -> Option<IsoBox> {
    while at < end {
        let found = box_at(file, at, end)?;
        if found.kind == *kind {
            return Some(found);
        }
        at = found.end;
    }
    None
}

/// The box at this position, which ends before `end`.
pub(super) fn box_at(file: &mut Bounded<'_>, at: u64, end: u64) -> Option<IsoBox> {
    file.step()?;
    file.go_to(at)?;
    let size = u64::from(file.u32()?);
    let kind = file.bytes::<4>()?;
    let size = match size {
        // 0: to the end of the enclosing box; 1: the size follows in 64 bits.
        0 => end.checked_sub(at)?,
        1 => u64::from_be_bytes(file.bytes()?),
        size => size,
    };
    let body = file.position()?;
    let box_end = at.checked_add(size)?;
    (box_end >= body && box_end <= end).then_some(IsoBox { kind, body, end: box_end })
}
