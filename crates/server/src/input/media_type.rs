//! The media type that a client or a file name declares.

use data_url::mime::Mime;
use partway_api::ErrorCode;
use partway_api::limits::MAX_FORMAT_BYTES;

use super::{InvalidInput, quote_for_message};
use crate::model::{UNKNOWN_TYPE, content_type, essence, known_type, type_of_extension};

/// A MIME type with concrete type and subtype.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    essence: String,
    charset: Option<String>,
    declared: String,
}

impl MediaType {
    /// Takes the value of `format`: a MIME type, or an extension whose MIME type is known.
    ///
    /// MIME types are parsed as browsers do (WHATWG, MIME Sniffing, section 4.4): a parameter that is malformed is left out,
    /// and one with a comma, such as `codecs=vp8,opus`, needs no quotes.
    ///
    /// # Errors
    /// INVALID_FORMAT.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let parsed = if text.contains('/') {
            Self::parse_mime(text)
        } else {
            Self::of_extension(text.strip_prefix('.').unwrap_or(text))
        };
        parsed.ok_or_else(|| {
            let allowed = "a MIME type such as video/mp4, or a known file extension such as mp4";
            InvalidInput::new(ErrorCode::InvalidFormat, "format", quote_for_message(text), allowed)
        })
    }

    /// The type in a `Content-Type` header; `None` where it says nothing that can be understood.
    pub fn of_header(text: &str) -> Option<Self> {
        Self::parse_mime(text)
    }

    /// The type of files with this name; `None` where its extension is unknown.
    pub fn of_name(file_name: &str) -> Option<Self> {
        Self::of_extension(extension_of(file_name)?)
    }

    fn parse_mime(text: &str) -> Option<Self> {
        let mime: Mime = text.parse().ok().filter(|_| is_header_text(text))?;
        let is_concrete = |name: &str| name != "*";
        if !is_concrete(&mime.type_) || !is_concrete(&mime.subtype) {
            return None;
        }
        let charset = mime.get_parameter("charset").map(str::to_ascii_lowercase);
        Some(Self { essence: format!("{}/{}", mime.type_, mime.subtype), charset, declared: text.trim().to_owned() })
    }

    fn of_extension(extension: &str) -> Option<Self> {
        let known = type_of_extension(extension).map(|known| known.name.to_owned());
        let guessed = || mime_guess::from_ext(extension).first().map(|guess| guess.essence_str().to_owned());
        let essence = known.or_else(guessed)?;
        Some(Self { declared: essence.clone(), essence, charset: None })
    }

    /// As it was declared, with its parameters.
    pub fn as_str(&self) -> &str {
        &self.declared
    }

    /// Type and subtype in their canonical spelling.
    pub fn essence(&self) -> &str {
        known_type(&self.essence).map_or(self.essence.as_str(), |known| known.name)
    }

    /// The declared encoding of a text, in lower case.
    pub fn charset(&self) -> Option<&str> {
        self.charset.as_deref()
    }

    /// Canonical type and subtype, with the encoding of a text.
    pub fn content_type(&self) -> String {
        content_type(self.essence(), self.charset())
    }

    /// Whether the type says nothing of the file.
    pub fn is_unknown(&self) -> bool {
        self.essence() == UNKNOWN_TYPE
    }

    /// The declared type, unless it says nothing and the name says more; [`UNKNOWN_TYPE`] if neither does.
    pub fn likely(declared: Option<Self>, file_name: &str) -> Self {
        let known = declared.filter(|declared| !declared.is_unknown());
        known.or_else(|| Self::of_name(file_name)).unwrap_or_else(|| Self {
            essence: UNKNOWN_TYPE.to_owned(),
            charset: None,
            declared: UNKNOWN_TYPE.to_owned(),
        })
    }
}

/// The wire's `format` of a file with this type and name: the name's own extension where it fits the type, or where no extension of
/// the type is known; else the type's usual one.
pub fn extension(mime_type: &str, file_name: &str) -> String {
    let essence = essence(mime_type);
    let own = extension_of(file_name).map(str::to_ascii_lowercase);
    let known = known_type(essence).map(|known| known.extensions).unwrap_or_default();
    let guessed = mime_guess::get_mime_extensions_str(essence).unwrap_or_default();
    let fits = |own: &str| {
        let by_name = MediaType::of_extension(own);
        known.contains(&own) || by_name.is_some_and(|by_name| by_name.essence() == essence)
    };
    let usual = known.first().or(guessed.first()).map(|usual| (*usual).to_owned());
    match (own, usual) {
        (Some(own), _) if fits(&own) => own,
        (_, Some(usual)) => usual,
        (Some(own), None) if own.bytes().all(|byte| byte.is_ascii_alphanumeric()) => own,
        _ => essence.split_once('/').map_or(essence, |(_, subtype)| subtype).to_owned(),
    }
}

/// The part of a name after its last dot, if it is not empty.
fn extension_of(file_name: &str) -> Option<&str> {
    file_name.rsplit_once('.').map(|(_, extension)| extension).filter(|extension| !extension.is_empty())
}

/// Whether the text can be a header unchanged, here and at every store. Quoted parameters could contain other characters.
fn is_header_text(text: &str) -> bool {
    text.len() <= MAX_FORMAT_BYTES && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mime_types_and_known_extensions_are_taken() {
        for (given, essence) in [
            ("video/mp4", "video/mp4"),
            ("mp4", "video/mp4"),
            (".JPG", "image/jpeg"),
            ("m4a", "audio/mp4"),
            ("application/x-thing", "application/x-thing"),
            ("text/plain; charset=utf-8", "text/plain"),
            ("video/webm;codecs=vp8,opus", "video/webm"),
            ("video/mp4;codecs=avc1.42E01E,mp4a.40.2", "video/mp4"),
            ("video/x-matroska;codecs=avc1,opus", "video/x-matroska"),
            ("video/webm; codecs=\"vp8, opus\"", "video/webm"),
            ("video/matroska", "video/x-matroska"),
            ("Image/PJPEG", "image/jpeg"),
        ] {
            assert_eq!(MediaType::parse(given).unwrap().essence(), essence, "{given}");
        }
    }

    #[test]
    fn a_type_is_kept_as_it_was_declared() {
        for (given, declared) in [
            ("video/webm;codecs=vp8,opus", "video/webm;codecs=vp8,opus"),
            ("audio/x-m4a", "audio/x-m4a"),
            (" text/plain; charset=UTF-8", "text/plain; charset=UTF-8"),
        ] {
            assert_eq!(MediaType::parse(given).unwrap().as_str(), declared);
        }
        assert_eq!(MediaType::parse("text/plain; charset=UTF-8").unwrap().charset(), Some("utf-8"));
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
        for (mime, name, expected) in [
            ("image/jpeg", "a.JPEG", "jpeg"),
            ("image/jpeg", "a.png", "jpg"),
            ("video/mp4", "noextension", "mp4"),
            ("application/octet-stream", "x", "bin"),
            ("application/x-unheard-of", "x.y", "y"),
            ("application/x-unheard-of", "x.a b", "x-unheard-of"),
            ("video/x-matroska", "x", "mkv"),
            ("audio/wav", "x.wav", "wav"),
            ("application/xml", "x", "xml"),
            ("text/plain; charset=utf-8", "x.py", "py"),
        ] {
            assert_eq!(extension(mime, name), expected, "{mime} {name}");
        }
    }
}
