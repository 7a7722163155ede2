//! TIFF and what is built on it: Exif data, raw pictures of cameras, JPEG XR. Directories of tagged values (TIFF 6.0, section 2;
//! BigTIFF has wider fields).

use super::Orientation;
use crate::media::Reader;
use crate::media::bounded::Bounded;

/// Directories that are looked at in one file.
const MAX_DIRECTORIES: usize = 16;

const NEW_SUBFILE_TYPE: u16 = 254;
const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const ORIENTATION: u16 = 274;
const SUB_DIRECTORIES: u16 = 330;
/// The sides of a picture without its margins, in DNG.
const DEFAULT_CROP_SIZE: u16 = 50720;
const XR_WIDTH: u16 = 0xBC80;
const XR_HEIGHT: u16 = 0xBC81;

/// Sides of the first picture that is not a smaller copy of another one. Raw pictures often come after a preview.
pub(super) fn dimensions(reader: Reader<'_>) -> Option<(u32, u32)> {
    let mut file = Bounded::new(reader);
    let mut tiff = Tiff::open(&mut file, 0)?;
    let first = tiff.directory(tiff.first_directory)?;
    let orientation = first.orientation;
    let mut waiting = first.others();
    let mut directory = first;
    for _ in 0..MAX_DIRECTORIES {
        if let Some((width, height)) = directory.sides().filter(|_| !directory.is_reduced) {
            return Some(orientation.shown(width, height));
        }
        directory = tiff.directory(waiting.pop()?)?;
        waiting.extend(directory.next);
    }
    None
}

/// The orientation in Exif data that begins at `base`.
pub(super) fn orientation(file: &mut Bounded<'_>, base: u64) -> Option<Orientation> {
    file.go_to(base)?;
    let mut tiff = Tiff::open(file, base)?;
    Some(tiff.directory(tiff.first_directory)?.orientation)
}

/// A file, or a part of one, in the format of TIFF.
struct Tiff<'f, 'b> {
    file: &'f mut Bounded<'b>,
    /// Where it begins: offsets count from here.
    base: u64,
    is_big_endian: bool,
    /// Whether offsets and counts have 64 bits.
    is_wide: bool,
    first_directory: u64,
}

/// The values of one directory that are used here.
#[derive(Default)]
struct Directory {
    width: Option<u32>,
    height: Option<u32>,
    crop: Option<(u32, u32)>,
    orientation: Orientation,
    is_reduced: bool,
    sub_directories: Vec<u64>,
    next: Option<u64>,
}

impl Directory {
    fn sides(&self) -> Option<(u32, u32)> {
        self.crop.or(self.width.zip(self.height))
    }

    /// Directories that may have the full picture, the most likely one last.
    fn others(&self) -> Vec<u64> {
        self.next.into_iter().chain(self.sub_directories.iter().rev().copied()).collect()
    }
}

impl<'f, 'b> Tiff<'f, 'b> {
    /// Reads the header at the current position.
    fn open(file: &'f mut Bounded<'b>, base: u64) -> Option<Self> {
        let is_big_endian = match &file.bytes()? {
            b"II" => false,
            b"MM" => true,
            _ => return None,
        };
        let mut tiff = Self { file, base, is_big_endian, is_wide: false, first_directory: 0 };
        match tiff.u16()? {
            // The third is JPEG XR; the others are raw pictures of Olympus and Panasonic.
            42 | 0x01BC | 0x4F52 | 0x5352 | 0x55 => tiff.first_directory = tiff.u32()?.into(),
            43 => {
                tiff.is_wide = true;
                let [_offset_bytes, _zero] = [tiff.u16()?, tiff.u16()?];
                tiff.first_directory = tiff.u64()?;
            }
            _ => return None,
        }
        Some(tiff)
    }

    fn u16(&mut self) -> Option<u16> {
        if self.is_big_endian { self.file.u16() } else { self.file.u16_le() }
    }

    fn u32(&mut self) -> Option<u32> {
        if self.is_big_endian { self.file.u32() } else { self.file.u32_le() }
    }

    fn u64(&mut self) -> Option<u64> {
        let bytes = self.file.bytes()?;
        Some(if self.is_big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }

    /// An offset or a count.
    fn wide(&mut self) -> Option<u64> {
        if self.is_wide { self.u64() } else { self.u32().map(u64::from) }
    }

    fn go_to(&mut self, offset: u64) -> Option<()> {
        self.file.go_to(self.base.checked_add(offset)?)
    }

    fn directory(&mut self, offset: u64) -> Option<Directory> {
        self.go_to(offset)?;
        let entries = if self.is_wide { self.u64()? } else { self.u16()?.into() };
        let (count_bytes, entry_bytes) = if self.is_wide { (8, 20) } else { (2, 12) };
        let mut directory = Directory::default();
        let mut at = offset.checked_add(count_bytes)?;
        for _ in 0..entries {
            self.file.step()?;
            self.go_to(at)?;
            self.entry(&mut directory)?;
            at = at.checked_add(entry_bytes)?;
        }
        // Exif data may end with its entries.
        let next = self.go_to(at).and_then(|()| self.wide());
        directory.next = next.filter(|offset| *offset > 0);
        Some(directory)
    }

    /// Reads one entry. Values of other tags and in other forms are left alone.
    fn entry(&mut self, directory: &mut Directory) -> Option<()> {
        let (tag, kind, count) = (self.u16()?, self.u16()?, self.wide()?);
        match tag {
            WIDTH | XR_WIDTH => directory.width = self.number(kind),
            HEIGHT | XR_HEIGHT => directory.height = self.number(kind),
            ORIENTATION => directory.orientation = Orientation(self.number(kind).unwrap_or_default() as u16),
            NEW_SUBFILE_TYPE => directory.is_reduced = self.number(kind).unwrap_or_default() & 1 == 1,
            SUB_DIRECTORIES => directory.sub_directories = self.offsets(count)?,
            DEFAULT_CROP_SIZE if count == 2 => directory.crop = self.pair(kind),
            _ => {}
        }
        Some(())
    }

    /// The number in an entry: of type BYTE, SHORT or LONG.
    fn number(&mut self, kind: u16) -> Option<u32> {
        match kind {
            1 => self.file.u8().map(u32::from),
            3 => self.u16().map(u32::from),
            4 | 13 => self.u32(),
            _ => None,
        }
    }

    /// Offsets of directories: in the entry if they fit, else where it points to.
    fn offsets(&mut self, count: u64) -> Option<Vec<u64>> {
        if count > 1 {
            let offset = self.wide()?;
            self.go_to(offset)?;
        }
        (0..count.min(MAX_DIRECTORIES as u64)).map(|_| self.wide()).collect()
    }

    /// Two numbers: SHORT in the entry itself, LONG or RATIONAL where it points to.
    fn pair(&mut self, kind: u16) -> Option<(u32, u32)> {
        if kind == 3 {
            return Some((self.u16()?.into(), self.u16()?.into()));
        }
        let offset = self.wide()?;
        self.go_to(offset)?;
        let mut value = || {
            let number = self.u32()?;
            if kind == 5 { number.checked_div(self.u32()?) } else { Some(number) }
        };
        Some((value()?, value()?))
    }
}
