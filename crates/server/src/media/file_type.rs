//! The type of a file: the one that its uploader declares, unless the bytes contradict it.
//!
//! ```text
//!  declared ──▶ contradicted? ─ no ─▶ the declared type
//!     │              └ yes ┐
//!     └ not known ─────────┴─▶ the name's type ──▶ contradicted? ─ no ─▶ the name's type
//!                                    │                   └ yes ┐
//!                                    └ not known ──────────────┴─▶ the type that the bytes show, or text/plain,
//!                                                                  or application/octet-stream
//! ```
//! A type is contradicted by the signature of another one that files of it cannot have, by text where it is binary, and by binary
//! where it is text. `docs/MEDIA.md` has the rules for users.

use super::Pictures;
use super::evidence::Evidence;
use super::text::Encoding;
use crate::input::MediaType;
use crate::model::{UNKNOWN_TYPE, is_markup, is_text_type};

/// Bytes at the start of a file that are examined: enough for all signatures, including those at large offsets, such as of tar
/// archives (262) and of some documents in ZIP archives (a few KiB).
pub(crate) const HEAD_BYTES: usize = 8192;

/// The type of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileType {
    /// The type in its canonical spelling, with the encoding of a text that was declared with it.
    pub mime_type: String,
    /// The type as the uploader declared it, or as the name suggests.
    pub declared: String,
    /// The encoding to serve a text with, where the bytes show it: `utf-8`.
    pub charset: Option<&'static str>,
    /// How the bytes of a type that is never compressed by itself are compressed: `gzip`, of `.svgz`.
    pub content_encoding: Option<&'static str>,
}

impl FileType {
    /// The type of a file that begins with `head`.
    pub fn of(head: &[u8], declared: Option<&MediaType>, file_name: &str) -> Self {
        let evidence = Evidence::of(head);
        let text = evidence.text;
        let by_name = MediaType::of_name(file_name);
        let stated = declared.filter(|declared| !declared.is_unknown());
        let name_is_text = by_name.as_ref().is_some_and(|by_name| is_text_type(by_name.essence()));
        let chosen = stated
            .filter(|stated| !evidence.contradicts(stated.essence(), name_is_text))
            .or(by_name.as_ref().filter(|by_name| !evidence.contradicts(by_name.essence(), false)));
        let essence = match (chosen, evidence.found) {
            (Some(chosen), found) if !chosen.is_unknown() => refine(chosen.essence(), found),
            (_, Some(found)) => found,
            // A name such as `x.bin` says that it is no text to be shown.
            (None, None) if text.is_some() => "text/plain",
            _ => UNKNOWN_TYPE,
        };
        let charset = chosen.and_then(MediaType::charset).filter(|_| is_text_type(essence));
        let declared_or_likely = declared.cloned().unwrap_or_else(|| MediaType::likely(None, file_name));
        let is_compressed = essence == "image/svg+xml" && evidence.found == Some("application/gzip");
        Self {
            mime_type: charset.map_or(essence.to_owned(), |charset| format!("{essence}; charset={charset}")),
            declared: declared_or_likely.as_str().to_owned(),
            charset: text.filter(|text| charset.is_none() && shows_utf8(essence, *text)).map(|_| "utf-8"),
            content_encoding: is_compressed.then_some("gzip"),
        }
    }

    /// The same type after a look into the container: a video without pictures is sound.
    pub(crate) fn with(mut self, pictures: Pictures) -> Self {
        if pictures != Pictures::None {
            return self;
        }
        let sound = match self.mime_type.as_str() {
            "video/mp4" | "video/x-m4v" | "video/quicktime" => "audio/mp4",
            "video/webm" => "audio/webm",
            "video/x-matroska" => "audio/x-matroska",
            "video/ogg" => "audio/ogg",
            "video/x-ms-asf" | "video/x-ms-wmv" => "audio/x-ms-wma",
            _ => return self,
        };
        self.mime_type = sound.to_owned();
        self
    }
}

/// The member of a family that the bytes name more exactly than the uploader.
fn refine<'t>(chosen: &'t str, found: Option<&'t str>) -> &'t str {
    match (chosen, found) {
        ("image/heif", Some(found @ ("image/heic" | "image/avif"))) => found,
        (chosen, Some(found)) if chosen.starts_with("font/") && found.starts_with("font/") => found,
        _ => chosen,
    }
}

/// Whether a text of this type is served with `charset=utf-8`. Pages and XML may name another encoding themselves, so ASCII alone is
/// not enough there.
fn shows_utf8(essence: &str, text: Encoding) -> bool {
    match text {
        Encoding::Utf8 => is_text_type(essence),
        Encoding::Ascii => is_text_type(essence) && !is_markup(essence),
        Encoding::Utf16 | Encoding::Legacy => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &[u8], declared: &str, name: &str) -> String {
        let declared = (!declared.is_empty()).then(|| MediaType::parse(declared).unwrap());
        FileType::of(head, declared.as_ref(), name).mime_type
    }

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\x08\0";
    const TIFF: &[u8] = b"II*\0\x08\0\0\0\0\0\0\0";
    const HTML: &[u8] = b"<!DOCTYPE html><script>";
    const COMMENTED_SVG: &[u8] = b"<!-- License -->\n<svg width=\"800\" height=\"600\"/>";
    const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";

    #[test]
    fn a_type_that_the_bytes_contradict_is_not_believed() {
        for (head, declared, name, mime) in [
            (PNG, "image/jpeg", "x.jpg", "image/png"),
            (PNG, "text/html", "x", "image/png"),
            (HTML, "image/png", "x.png", "text/html"),
            (HTML, "image/svg+xml", "x.svg", "text/html"),
            (HTML, "application/json", "x.json", "text/html"),
            (ZIP, "image/png", "x.png", "application/zip"),
            (b"const a: number = 1;\n", "", "app.ts", "text/plain"),
            (b"const a: number = 1;\n", "text/vnd.trolltech.linguist", "app.ts", "text/plain"),
            (b"hello there", "video/mp4", "x.mp4", "text/plain"),
            (b"\0\x01\x02\x03", "text/plain", "x.txt", "application/octet-stream"),
            (b"a;b\n1;2\n", "application/vnd.ms-excel", "x.csv", "text/csv"),
            (b"OTTO\0\x0a\0\x80\0\x03", "application/vnd.oasis.opendocument.formula-template", "x.otf", "font/otf"),
            (b"%PDF-1.7\n", "text/plain", "x.txt", "application/pdf"),
        ] {
            assert_eq!(of(head, declared, name), mime, "{declared} {name} {head:?}");
        }
    }

    #[test]
    fn a_type_that_the_bytes_may_have_is_the_declared_one() {
        for (head, declared) in [
            (&b"just some words"[..], "text/markdown"),
            (b"", "video/mp4"),
            (b"\0\x01\x02\x03\x04\x05", "video/mp4"),
            // A word that is the signature of a bitmap.
            (b"BMW and others\n", "text/plain"),
            (b"BMW;H\xe4ndler;Gr\xf6\xdfe\n", "text/csv"),
            (b"MZ is not a program here", "text/csv"),
            (b"# Notes\nA file that begins with %PDF-1 is a PDF.", "text/markdown"),
            (b"<p align=\"center\">", "text/markdown"),
            (b"<!-- a --> text", "text/plain"),
            (COMMENTED_SVG, "image/svg+xml"),
            (b"<?xml version=\"1.0\"?><svg/>", "image/svg+xml"),
            (b"\x1f\x8b\x08\0\0\0\0\0", "image/svg+xml"),
            (b"\x1f\x8b\x08\0\0\0\0\0", "application/x-compressed-tar"),
            (ZIP, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
            (ZIP, "application/vnd.ms-excel.sheet.macroEnabled.12"),
            (ZIP, "application/java-archive"),
            (ZIP, "model/3mf"),
            (TIFF, "image/x-adobe-dng"),
            (TIFF, "image/x-nikon-nef"),
            (HEIC, "image/heic"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
            (b"ID3\x04\0\0\0\0\0\0fLaC", "audio/flac"),
            (b"#!AMR-WB\n\x04\0\0", "audio/amr-wb"),
            (b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa\0b\xcel", "audio/x-ms-wma"),
            (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "video/quicktime"),
            (PNG, "image/apng"),
        ] {
            let declared = MediaType::parse(declared).unwrap();
            assert_eq!(FileType::of(head, Some(&declared), "x").mime_type, declared.essence(), "{head:?}");
        }
    }

    #[test]
    fn a_type_that_is_not_known_is_the_names_or_that_of_the_bytes() {
        let stream: Vec<u8> = (0..800).map(|at| if at % 188 == 0 { 0x47 } else { 0xff }).collect();
        for (head, declared, name, mime) in [
            (&b"a,b\n"[..], "application/octet-stream", "a.csv", "text/csv"),
            (b"%PDF-1.7\n", "application/octet-stream", "a", "application/pdf"),
            (ZIP, "binary/octet-stream", "a", "application/zip"),
            (ZIP, "", "a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
            (b"all:\n\tcc x.c\n", "", "Makefile", "text/plain"),
            (b"letters", "", "a.bin", "application/octet-stream"),
            (b"\0\x01", "", "a", "application/octet-stream"),
            (&stream, "", "a.ts", "video/mp2t"),
            (&stream, "text/vnd.trolltech.linguist", "a.ts", "video/mp2t"),
            (b"\0\0\0\x18ftypiso8\0\0\0\0iso8", "", "a", "video/mp4"),
            (b"\x1a\x45\xdf\xa3\x93\x42\x82\x84webm", "", "a", "video/webm"),
            (b"-----BEGIN CERTIFICATE-----\n", "", "a.pem", "application/x-pem-file"),
            (b"-----BEGIN CERTIFICATE-----\n", "", "a.crt", "text/plain"),
            (b"-----BEGIN CERTIFICATE-----\n", "application/x-x509-ca-cert", "a.crt", "text/plain"),
            (b"0\x82\x03\x01", "", "a", "application/octet-stream"),
            // No certificate is called one of an authority: browsers offer to trust those.
            (b"0\x82\x03\x01", "", "a.der", "application/pkix-cert"),
            (b"0\x82\x03\x01", "", "a.CER", "application/pkix-cert"),
            (b"0\x82\x03\x01", "application/octet-stream", "a.crt", "application/pkix-cert"),
            (b"0\x82\x03\x01", "application/x-x509-ca-cert", "a", "application/pkix-cert"),
        ] {
            assert_eq!(of(head, declared, name), mime, "{declared} {name} {head:?}");
        }
    }

    #[test]
    fn one_spelling_of_a_type_is_recorded_and_the_declared_one_is_kept() {
        for (declared, mime) in [
            ("audio/x-m4a", "audio/mp4"),
            ("audio/m4a", "audio/mp4"),
            ("video/matroska", "video/x-matroska"),
            ("video/webm;codecs=vp8,opus", "video/webm"),
            ("text/plain;charset=ISO-8859-1", "text/plain; charset=iso-8859-1"),
        ] {
            let file_type = FileType::of(b"", Some(&MediaType::parse(declared).unwrap()), "x");
            assert_eq!((file_type.mime_type.as_str(), file_type.declared.as_str()), (mime, declared));
        }
        assert_eq!(of(HEIC, "image/heif", "x.heic"), "image/heic");
    }

    #[test]
    fn utf8_is_said_of_texts_that_are_utf8() {
        for (head, declared, charset) in [
            ("Grüße".as_bytes(), "text/plain", Some("utf-8")),
            (b"ascii", "text/markdown", Some("utf-8")),
            (b"ascii", "text/html", None),
            ("<p>Grüße".as_bytes(), "text/html", Some("utf-8")),
            (b"Gr\xfc\xdfe", "text/plain", None),
            (b"\xff\xfea\0", "text/plain", None),
            (b"ascii", "text/plain; charset=us-ascii", None),
            (PNG, "image/png", None),
        ] {
            let declared = MediaType::parse(declared).unwrap();
            assert_eq!(FileType::of(head, Some(&declared), "x").charset, charset, "{declared:?} {head:?}");
        }
    }
}
