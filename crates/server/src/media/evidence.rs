//! Whether the first bytes of a file contradict a type.

use super::signature::signature;
use super::text::{Encoding, encoding};
use crate::model::{is_markup, is_text_type};

/// The first bytes of a file, and what they show.
pub(super) struct Evidence<'h> {
    head: &'h [u8],
    pub(super) found: Option<&'static str>,
    pub(super) text: Option<Encoding>,
}

impl<'h> Evidence<'h> {
    pub(super) fn of(head: &'h [u8]) -> Self {
        Self { head, found: signature(head), text: encoding(head) }
    }

    /// Whether the bytes cannot be a file of this type. An empty file may be one of any type.
    pub(super) fn contradicts(&self, essence: &str, name_is_text: bool) -> bool {
        if self.head.is_empty() {
            return false;
        }
        if let Some(found) = self.found
            && !self.explains(found, essence)
        {
            return true;
        }
        let compressed_svg = essence == "image/svg+xml" && self.found == Some("application/gzip");
        match self.text {
            None => is_text_type(essence) && !compressed_svg,
            // Only XML of this program has the type. Browsers on Linux call TypeScript so.
            Some(_) if essence == "text/vnd.trolltech.linguist" => self.found != Some("application/xml"),
            // The type is that of DER. Certificates in PEM have the same extensions.
            Some(_) if essence == "application/pkix-cert" => true,
            // Windows calls texts of spreadsheets so.
            Some(_) if essence == "application/vnd.ms-excel" => name_is_text,
            Some(Encoding::Ascii | Encoding::Utf8) => is_binary_media(essence),
            Some(Encoding::Utf16 | Encoding::Legacy) => false,
        }
    }

    /// Whether files of the type `essence` may have the signature of `found`.
    fn explains(&self, found: &str, essence: &str) -> bool {
        if found == essence || FAMILIES.iter().any(|family| family.contains(&found) && family.contains(&essence)) {
            return true;
        }
        match found {
            "text/html" => essence.starts_with("text/") || self.is_svg(essence) || essence == "application/xhtml+xml",
            "application/xml" => is_text_type(essence),
            "application/x-sh" => is_text_type(essence) || is_unmarked(essence),
            "application/postscript" => essence == "image/x-eps",
            "image/tiff" => is_raw_picture(essence),
            "image/heic" | "image/heif" => essence == "image/avif",
            // Sound of other kinds may begin with a tag, and two bytes are no proof.
            "audio/mpeg" => essence.starts_with("audio/"),
            "application/gzip" if essence == "image/svg+xml" => true,
            "application/zip" | "application/gzip" => is_archive_of(essence),
            _ if is_document_in_zip(found) => is_document_in_zip(essence) || is_archive_of(essence),
            "application/x-ole-storage" => essence.starts_with("application/"),
            // A format that is built on another one, such as a map in a database.
            _ => found.starts_with("application/") && is_unmarked(essence),
        }
    }

    /// A picture that begins with a comment looks like a page.
    fn is_svg(&self, essence: &str) -> bool {
        essence == "image/svg+xml" && super::image::svg::has_svg_root(self.head)
    }
}

/// Types of one container, which its first bytes do not always tell apart.
const FAMILIES: [&[&str]; 8] = [
    // ISO base media
    &[
        "video/mp4",
        "video/quicktime",
        "video/x-m4v",
        "video/3gpp",
        "video/3gpp2",
        "video/x-f4v",
        "audio/mp4",
        "audio/3gpp",
        "audio/3gpp2",
        "application/mp4",
    ],
    // Matroska
    &["video/x-matroska", "video/x-matroska-3d", "video/webm", "audio/x-matroska", "audio/webm"],
    // Ogg
    &["audio/ogg", "video/ogg", "application/ogg", "audio/speex", "audio/x-speex", "audio/flac"],
    // ASF
    &["video/x-ms-wmv", "video/x-ms-asf", "audio/x-ms-wma"],
    // HEIF with HEVC
    &["image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence"],
    &["image/avif", "image/avif-sequence"],
    &["image/png", "image/apng"],
    &["image/jpeg", "image/jls", "image/mpo", "image/x-mpo"],
];

/// Pictures of cameras, and TIFF itself: their signature is that of TIFF.
fn is_raw_picture(essence: &str) -> bool {
    essence.starts_with("image/x-") && !infer::is_mime_supported(essence) || essence == "image/jxr"
}

/// Whether the type may be an archive: one that no signature identifies.
fn is_archive_of(essence: &str) -> bool {
    essence.ends_with("+zip")
        || essence.ends_with("+gzip")
        || essence.starts_with("model/")
        || is_document_in_zip(essence)
        || is_unmarked(essence)
}

fn is_document_in_zip(essence: &str) -> bool {
    essence == "application/zip"
        || essence == "application/epub+zip"
        || essence == "application/java-archive"
        || essence.starts_with("application/vnd.openxmlformats-officedocument")
        || essence.starts_with("application/vnd.oasis.opendocument")
}

/// Whether the type has no signature that is known.
fn is_unmarked(essence: &str) -> bool {
    (essence.starts_with("application/") || essence.starts_with("model/"))
        && !infer::is_mime_supported(essence)
        && !is_text_type(essence)
}

/// Pictures, video, sound and fonts that are not text. Some old formats of pictures are.
fn is_binary_media(essence: &str) -> bool {
    const TEXT_PICTURES: [&str; 8] = [
        "image/x-xpixmap",
        "image/x-xbitmap",
        "image/x-portable-pixmap",
        "image/x-portable-graymap",
        "image/x-portable-bitmap",
        "image/x-portable-anymap",
        "image/x-eps",
        "image/vnd.dxf",
    ];
    ["image/", "video/", "audio/", "font/"].iter().any(|prefix| essence.starts_with(prefix))
        && !is_markup(essence)
        && !TEXT_PICTURES.contains(&essence)
}
