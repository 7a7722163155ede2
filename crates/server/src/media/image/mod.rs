//! Width and height of pictures, as they are shown.

mod bmp;
mod heif;
mod jpeg;
mod jpeg2000;
mod png;
pub(super) mod svg;
mod tiff;

use super::{ReadPictures, Reader};

/// The reader of a type of picture; `None` for other types.
pub(super) fn reader_of(essence: &str) -> Option<ReadPictures> {
    Some(match essence {
        "image/svg+xml" => |reader| svg::dimensions(reader).into(),
        "image/jpeg" | "image/jls" | "image/mpo" => |reader| jpeg::dimensions(reader).into(),
        "image/png" | "image/apng" => |reader| png::dimensions(reader).into(),
        "image/bmp" => |reader| bmp::dimensions(reader).into(),
        "image/heic"
        | "image/heif"
        | "image/avif"
        | "image/heic-sequence"
        | "image/heif-sequence"
        | "image/avif-sequence" => |reader| heif::dimensions(reader).into(),
        "image/jp2" | "image/x-jp2-codestream" => |reader| jpeg2000::dimensions(reader).into(),
        "image/tiff" | "image/jxr" => |reader| tiff::dimensions(reader).into(),
        _ if is_raw(essence) => |reader| tiff::dimensions(reader).into(),
        _ if essence.starts_with("image/") => |reader| raster(reader).into(),
        _ => return None,
    })
}

/// Whether cameras write files of this type, in the format of TIFF.
fn is_raw(essence: &str) -> bool {
    const RAW: [&str; 8] = [
        "x-adobe-dng",
        "x-canon-cr2",
        "x-nikon-nef",
        "x-nikon-nrw",
        "x-sony-arw",
        "x-sony-sr2",
        "x-pentax-pef",
        "x-samsung-srw",
    ];
    essence.strip_prefix("image/").is_some_and(|subtype| RAW.contains(&subtype))
}

/// All other formats, none of which turns its pictures, except JPEG XL, whose reader does so itself.
fn raster(reader: Reader<'_>) -> Option<(u32, u32)> {
    let size = imagesize::reader_size(reader).ok()?;
    Some((u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?))
}

/// How a picture is turned before it is shown: Exif tag 274 (CIPA DC-008, section 4.6.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Orientation(u16);

impl Orientation {
    /// The sides of the picture as it is shown.
    fn shown(self, width: u32, height: u32) -> (u32, u32) {
        if (5..=8).contains(&self.0) { (height, width) } else { (width, height) }
    }
}
