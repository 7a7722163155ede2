//! Width and height of video, as it is shown, from the headers of its container or of its first picture.

mod asf;
mod avi;
mod flv;
pub(super) mod mp4;
mod mpeg;
mod ogg;
mod transport_stream;
mod webm;

use super::ReadPictures;

/// Bytes at the start of a stream that are searched for its first picture.
const STREAM_HEAD_BYTES: u16 = u16::MAX;

/// The reader of a type of video; `None` for other types.
pub(super) fn reader_of(essence: &str) -> Option<ReadPictures> {
    Some(match essence {
        "video/mp4" | "video/quicktime" | "video/x-m4v" | "video/3gpp" | "video/3gpp2" | "application/mp4" => {
            mp4::pictures
        }
        "video/webm" | "video/x-matroska" => webm::pictures,
        "video/x-msvideo" => |reader| avi::dimensions(reader).into(),
        "video/x-flv" => |reader| flv::dimensions(reader).into(),
        "video/x-ms-wmv" | "video/x-ms-asf" => asf::pictures,
        "video/ogg" | "application/ogg" => ogg::pictures,
        "video/mpeg" => |reader| mpeg::dimensions(reader).into(),
        "video/mp2t" => |reader| transport_stream::dimensions(reader).into(),
        _ => return None,
    })
}

/// A width of pixels that are not square, stretched so that they are.
fn stretched(width: u32, horizontal: u32, vertical: u32) -> Option<u32> {
    let (horizontal, vertical) = (u64::from(horizontal), u64::from(vertical));
    let width = (u64::from(width) * horizontal + vertical / 2).checked_div(vertical)?;
    u32::try_from(width).ok().filter(|width| *width > 0)
}
