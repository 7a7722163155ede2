//! MP4 and QuickTime: boxes (ISO/IEC 14496-12). The dimensions are in the track header of the first track that has any, in
//! `moov`, which may be at the end of the file.

use super::Reader;
use super::bounded::Bounded;

struct BoxHeader {
    kind: [u8; 4],
    body: u64,
    end: u64,
}

pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    let mut file = Bounded::new(reader);
    let moov = find(&mut file, 0, u64::MAX, *b"moov")?;
    let mut at = moov.body;
    while let Some(trak) = find(&mut file, at, moov.end, *b"trak") {
        if let Some(header) = find(&mut file, trak.body, trak.end, *b"tkhd")
            && let Some((width, height)) = track_dimensions(&mut file, &header)
            // The header of a sound track has no dimensions.
            && width > 0
            && height > 0
        {
            return Some((width, height));
        }
        at = trak.end;
    }
    None
}

/// The next box of this kind between `at` and `end`.
fn find(file: &mut Bounded<'_>, mut at: u64, end: u64, kind: [u8; 4]) -> Option<BoxHeader> {
    while at < end {
        file.step()?;
        let header = box_at(file, at, end)?;
        if header.kind == kind {
            return Some(header);
        }
        at = header.end;
    }
    None
}

fn box_at(file: &mut Bounded<'_>, at: u64, end: u64) -> Option<BoxHeader> {
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
    (box_end >= body && box_end <= end).then_some(BoxHeader { kind, body, end: box_end })
}

/// Width and height are the last two fields of the header, in 16.16 fixed point.
fn track_dimensions(file: &mut Bounded<'_>, header: &BoxHeader) -> Option<(u32, u32)> {
    file.go_to(header.end.checked_sub(8).filter(|at| *at >= header.body)?)?;
    Some((file.u32()? >> 16, file.u32()? >> 16))
}
