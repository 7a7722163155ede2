//! The kind of a file: MIME type, file extension and category.

use mime::Mime;
use partway_api::ErrorCode;
use partway_api::limits::MAX_FORMAT_BYTES;

use super::{InvalidInput, quote_for_message};

/// Common extensions of types for which `mime_guess` lists a rarer one first.
const USUAL_EXTENSIONS: [(&str, &str); 14] = [
    ("image/jpeg", "jpg"),
    ("image/tiff", "tiff"),
    ("image/svg+xml", "svg"),
    ("video/mp4", "mp4"),
    ("video/quicktime", "mov"),
    ("video/mpeg", "mpg"),
    ("video/x-matroska", "mkv"),
    ("audio/mpeg", "mp3"),
    ("audio/mp4", "m4a"),
    ("audio/ogg", "ogg"),
    ("text/plain", "txt"),
    ("text/html", "html"),
    ("text/markdown", "md"),
    ("application/octet-stream", "bin"),
];

/// Prefixes of the types of documents, in addition to `text/…`.
const DOCUMENT_TYPES: [&str; 7] = [
    "application/pdf",
    "application/msword",
    "application/rtf",
    "application/epub+zip",
    "application/json",
    "application/xml",
    "application/vnd.ms-",
];
/// Prefixes of the types of the two common office suites.
const OFFICE_TYPES: [&str; 2] = ["application/vnd.openxmlformats-officedocument", "application/vnd.oasis.opendocument"];

/// A MIME type with concrete type and subtype.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType(Mime);

impl MediaType {
    /// Takes the value of `format`: a MIME type, or an extension whose MIME type is known.
    ///
    /// # Errors
    /// INVALID_FORMAT.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let parsed = if text.contains('/') {
            text.parse().ok().filter(|mime: &Mime| is_header_text(text) && is_concrete(mime))
        } else {
            mime_guess::from_ext(text.strip_prefix('.').unwrap_or(text)).first()
        };
        parsed.map(Self).ok_or_else(|| {
            let allowed = "a MIME type such as video/mp4, or a known file extension such as mp4";
            InvalidInput::new(ErrorCode::InvalidFormat, "format", quote_for_message(text), allowed)
        })
    }

    /// The type as it is stored and served.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// Type and subtype alone.
    pub fn essence(&self) -> &str {
        self.0.essence_str()
    }

    /// The type of a file with this declared type and name. The file name wins over `application/octet-stream`.
    pub fn guess(declared: Option<&str>, file_name: &str) -> Self {
        let declared = declared.and_then(|text| text.parse::<Mime>().ok().filter(|_| is_header_text(text)));
        let concrete =
            declared.filter(|mime| is_concrete(mime) && mime.essence_str() != mime::APPLICATION_OCTET_STREAM);
        Self(concrete.unwrap_or_else(|| mime_guess::from_path(file_name).first_or_octet_stream()))
    }

    /// The file extension of the type: the name's own one if it fits.
    pub fn extension(&self, file_name: &str) -> String {
        let essence = self.0.essence_str();
        let own = file_name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        let fits =
            |extension: &String| mime_guess::from_ext(extension).iter().any(|guess| guess.essence_str() == essence);
        let usual =
            || USUAL_EXTENSIONS.iter().find(|(mime, _)| *mime == essence).map(|(_, extension)| (*extension).to_owned());
        let listed = || {
            mime_guess::get_mime_extensions_str(essence).and_then(|all| all.first()).map(|first| (*first).to_owned())
        };
        own.filter(fits).or_else(usual).or_else(listed).unwrap_or_else(|| self.0.subtype().as_str().to_owned())
    }
}

/// Whether the text can be a header unchanged, here and at every store. Quoted parameters could contain other characters.
fn is_header_text(text: &str) -> bool {
    text.len() <= MAX_FORMAT_BYTES && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn is_concrete(mime: &Mime) -> bool {
    [mime.type_(), mime.subtype()].iter().all(|name| *name != "*" && *name != "")
}

/// The category of a MIME type, as the wire's `extension` shows it.
pub fn category(mime_type: &str) -> &'static str {
    match mime_type.split('/').next().unwrap_or_default() {
        "image" => "image",
        "video" => "video",
        "audio" => "audio",
        "text" => "document",
        _ if DOCUMENT_TYPES.iter().chain(&OFFICE_TYPES).any(|begin| mime_type.starts_with(begin)) => "document",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mime_types_and_known_extensions_are_taken() {
        for (given, mime) in [
            ("video/mp4", "video/mp4"),
            ("mp4", "video/mp4"),
            (".JPG", "image/jpeg"),
            ("application/x-thing", "application/x-thing"),
            ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ] {
            assert_eq!(MediaType::parse(given).unwrap().as_str(), mime);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "video/mp4; x=\"é\"",
            "video/mp4; x=\"a\tb\"",
            "",
            "/",
            "video/",
            "/mp4",
            "nonsense-ext",
            "video mp4",
            "*/*",
            "video/*",
            "a/b/c",
            "video/mp4\n",
            &format!("a/{}", "b".repeat(300)),
        ] {
            assert_eq!(MediaType::parse(bad).unwrap_err().code, ErrorCode::InvalidFormat, "{bad:?}");
        }
    }

    #[test]
    fn the_extension_is_the_names_own_where_it_fits_the_type() {
        for (mime, name, extension) in [
            ("image/jpeg", "a.JPEG", "jpeg"),
            ("image/jpeg", "a.png", "jpg"),
            ("video/mp4", "noextension", "mp4"),
            ("application/octet-stream", "x", "bin"),
            ("application/x-unheard-of", "x.y", "x-unheard-of"),
        ] {
            assert_eq!(MediaType::parse(mime).unwrap().extension(name), extension);
        }
    }

    #[test]
    fn every_type_has_a_category() {
        for (mime, expected) in [
            ("image/png", "image"),
            ("video/webm", "video"),
            ("audio/mpeg", "audio"),
            ("application/pdf", "document"),
            ("text/csv", "document"),
            ("application/vnd.oasis.opendocument.text", "document"),
            ("application/zip", "other"),
        ] {
            assert_eq!(category(mime), expected);
        }
    }
}
