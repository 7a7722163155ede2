//! The type that the first bytes of a file show.

use super::text::encoding;
use crate::model::known_type;

/// The canonical type with this signature; `None` where there is none, or where it proves nothing.
pub(super) fn signature(head: &[u8]) -> Option<&'static str> {
    let found = container(head).or_else(|| infer::get(head).map(|found| found.mime_type()))?;
    let found = match found {
        // Any DER, which certificates are, and keys and much else. Text with a certificate begins with its purpose.
        "application/x-x509-ca-cert" | "application/octet-stream" => return None,
        // Its kind is in the first four bytes.
        "application/font-sfnt" | "application/font-woff" => font(head),
        found => known_type(found).map_or(found, |known| known.name),
    };
    let is_text = encoding(head).is_some();
    match found {
        // Two or three letters that begin texts as well.
        _ if is_text && !is_signature_of_text(found, head) => None,
        "text/html" | "application/xml" | "application/x-sh" if !is_text => None,
        found => Some(found),
    }
}

/// Whether files of the type are text, or begin with text that nothing else begins with.
fn is_signature_of_text(found: &str, head: &[u8]) -> bool {
    match found {
        // The mark may be anywhere in the first KiB. Text that only mentions it usually has it later.
        "application/pdf" => head.starts_with(b"%PDF-"),
        "application/rtf" | "application/postscript" | "application/x-sh" | "application/xml" => true,
        _ => found.starts_with("text/"),
    }
}

/// Containers whose members differ by words in their header. More of them are in use than `infer` lists.
fn container(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"\x1a\x45\xdf\xa3") {
        let header = &head[..head.len().min(64)];
        let has = |word: &[u8]| header.windows(word.len()).any(|window| window == word);
        return match () {
            () if has(b"webm") => Some("video/webm"),
            () if has(b"matroska") => Some("video/x-matroska"),
            () => None,
        };
    }
    if is_transport_stream(head) {
        return Some("video/mp2t");
    }
    let (kind, brand) = (head.get(4..8)?, head.get(8..12)?);
    match kind {
        b"ftyp" | b"styp" => iso_media(brand, head),
        // QuickTime from before `ftyp`: the box is followed by another one that `infer` does not look for.
        b"wide" | b"skip" | b"moov" | b"mdat" | b"free" if u32_at(head, 0)? >= 8 => Some("video/quicktime"),
        _ => None,
    }
}

/// The type of an ISO base media file by its major brand (ISO/IEC 14496-12, section 4.3).
fn iso_media(brand: &[u8], head: &[u8]) -> Option<&'static str> {
    let size = u32_at(head, 0)?.clamp(8, 256) as usize;
    let brands = head.get(8..size.min(head.len())).unwrap_or_default();
    let has = |wanted: &[u8; 4]| brands.chunks_exact(4).any(|brand| brand == wanted);
    Some(match brand {
        b"qt  " => "video/quicktime",
        b"M4A " | b"M4B " | b"M4P " => "audio/mp4",
        b"M4V " | b"M4VH" | b"M4VP" => "video/x-m4v",
        b"avif" | b"avis" => "image/avif",
        b"heic" | b"heix" | b"heim" | b"heis" => "image/heic",
        b"mif1" | b"msf1" if has(b"avif") => "image/avif",
        b"mif1" | b"msf1" if has(b"heic") || has(b"heix") => "image/heic",
        b"mif1" | b"msf1" => "image/heif",
        b"crx " => "image/x-canon-cr3",
        b"jp2 " | b"jpx " => "image/jp2",
        [b'3', b'g', b'2', _] => "video/3gpp2",
        [b'3', b'g', ..] => "video/3gpp",
        _ => "video/mp4",
    })
}

/// Packets of 188 bytes that begin with a sync byte (ISO/IEC 13818-1), each after a time stamp of four bytes on Blu-ray discs.
fn is_transport_stream(head: &[u8]) -> bool {
    let packets = |first: usize, length: usize| (0..4).all(|number| head.get(first + number * length) == Some(&0x47));
    packets(0, 188) || packets(4, 192)
}

fn font(head: &[u8]) -> &'static str {
    match head.get(..4) {
        Some(b"OTTO") => "font/otf",
        Some(b"ttcf") => "font/collection",
        Some(b"wOFF") => "font/woff",
        Some(b"wOF2") => "font/woff2",
        _ => "font/ttf",
    }
}

fn u32_at(head: &[u8], at: usize) -> Option<u32> {
    head.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
