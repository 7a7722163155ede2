//! JPEG and JPEG-LS: marker segments (ITU-T T.81, annex B). The frame header has the size, and a segment before it may have Exif data.

use super::tiff;
use crate::media::Reader;
use crate::media::bounded::Bounded;

const START_OF_IMAGE: u8 = 0xD8;
const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;
const APP1: u8 = 0xE1;
const EXIF: &[u8; 6] = b"Exif\0\0";

pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    let mut file = Bounded::new(reader);
    if file.bytes()? != [0xFF, START_OF_IMAGE] {
        return None;
    }
    let mut orientation = None;
    loop {
        file.step()?;
        let marker = next_marker(&mut file)?;
        if is_alone(marker) {
            continue;
        }
        let body_bytes = u64::from(file.u16()?.checked_sub(2)?);
        let body = file.position()?;
        match marker {
            END_OF_IMAGE | START_OF_SCAN => return None,
            APP1 if orientation.is_none() && body_bytes > EXIF.len() as u64 && file.bytes()? == *EXIF => {
                orientation = tiff::orientation(&mut file, body + EXIF.len() as u64);
            }
            _ if is_frame_header(marker) => {
                let [_precision] = file.bytes()?;
                let (height, width) = (file.u16()?, file.u16()?);
                return Some(orientation.unwrap_or_default().shown(width.into(), height.into()));
            }
            _ => {}
        }
        file.go_to(body + body_bytes)?;
    }
}

/// The next marker. Any number of fill bytes may come before its code (section B.1.1.2).
fn next_marker(file: &mut Bounded<'_>) -> Option<u8> {
    if file.u8()? != 0xFF {
        return None;
    }
    loop {
        match file.u8()? {
            0xFF => file.step()?,
            code => return Some(code),
        }
    }
}

/// Markers without a segment.
fn is_alone(marker: u8) -> bool {
    matches!(marker, 0x01 | 0xD0..=START_OF_IMAGE)
}

/// Frame headers of all processes, and of JPEG-LS (ITU-T T.87, annex C).
fn is_frame_header(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn fill_bytes_before_a_marker_are_skipped() {
        let frame = [0xC0, 0, 17, 8, 0, 200, 1, 144, 3];
        for fill in 0..5 {
            let comment = [&[0xFF][..], &vec![0xFF; fill], &[0xFE, 0, 4, b'o', b'k']].concat();
            let file = [&[0xFF, 0xD8][..], &comment, &[0xFF], &vec![0xFF; fill], &frame, &[0; 32]].concat();
            let reader = Reader::new(Box::new(Cursor::new(file)));
            assert_eq!(dimensions(reader), Some((400, 200)), "{fill} fill bytes");
        }
    }
}
