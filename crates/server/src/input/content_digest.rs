//! Digests of a request's body in its headers: `Content-MD5` (RFC 1864) and `Content-Digest` (RFC 9530).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use partway_api::ErrorCode;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::{InvalidInput, quote_for_message};
use crate::storage::{DigestAlgorithm, PartDigests};

/// Reads the expected digests of the body. Algorithms of `Content-Digest` other than sha-256 and sha-512 are ignored, as
/// RFC 9530 allows.
///
/// # Errors
/// INVALID_PARAMETER when a header does not follow its RFC.
pub fn content_digests(headers: &HeaderMap) -> Result<PartDigests, InvalidInput> {
    let mut digests = PartDigests::default();
    if let Some(value) = headers.get("content-md5") {
        let digest = value.to_str().ok().and_then(|text| STANDARD.decode(text.trim()).ok());
        let digest = digest.filter(|digest| digest.len() == DigestAlgorithm::Md5.digest_bytes());
        digests.expect(
            DigestAlgorithm::Md5,
            digest.ok_or_else(|| refused("Content-MD5", value.as_bytes(), "the base64 of 16 bytes"))?,
        );
    }
    let allowed = "digests such as sha-256=:BASE64:, sha-512=:BASE64: (RFC 9530)";
    // Several lines of a field are one list (RFC 9110, section 5.3).
    let lines: Vec<&[u8]> = headers.get_all("content-digest").iter().map(http::HeaderValue::as_bytes).collect();
    let field = lines.join(&b", "[..]);
    let dictionary: Dictionary = Parser::new(&field).parse().map_err(|_| refused("Content-Digest", &field, allowed))?;
    for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512] {
        let Some(entry) = dictionary.get(algorithm.name()) else { continue };
        let digest = match entry {
            ListEntry::Item(item) => match &item.bare_item {
                BareItem::ByteSequence(bytes) if bytes.len() == algorithm.digest_bytes() => Some(bytes.clone()),
                _ => None,
            },
            ListEntry::InnerList(_) => None,
        };
        digests.expect(algorithm, digest.ok_or_else(|| refused("Content-Digest", &field, allowed))?);
    }
    Ok(digests)
}

fn refused(field: &str, was: &[u8], allowed: &str) -> InvalidInput {
    InvalidInput::new(ErrorCode::InvalidParameter, field, quote_for_message(String::from_utf8_lossy(was)), allowed)
}
