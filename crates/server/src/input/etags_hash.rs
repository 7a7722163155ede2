//! `etags_sha256`: the parts that a client completes a session with.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use partway_api::ErrorCode;
use sha2::{Digest, Sha256};

use super::{InvalidInput, quote_for_message};

/// Prefix of the digest in a session's row.
const ROW_PREFIX: &str = "etags:";

/// The SHA-256 of the ETags of all parts in order, each without its quotes and followed by a line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtagsHash([u8; 32]);

impl EtagsHash {
    /// 64 hexadecimal digits.
    ///
    /// # Errors
    /// INVALID_PARAMETER.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let digest = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        digest.map(Self).ok_or_else(|| {
            let allowed = "the 64 hexadecimal digits of the SHA-256 of the parts' ETags, in order, each without its \
                           quotes and followed by a line feed";
            InvalidInput::new(ErrorCode::InvalidParameter, "etags_sha256", quote_for_message(text), allowed)
        })
    }

    /// The digest of these ETags, as a store writes them.
    pub fn of<'e>(etags: impl IntoIterator<Item = &'e str>) -> Self {
        let mut hasher = Sha256::new();
        for etag in etags {
            hasher.update(etag.trim_matches('"'));
            hasher.update(b"\n");
        }
        Self(hasher.finalize().into())
    }

    /// The form in a session's row, where the hash of a file would be.
    pub fn note(&self) -> String {
        format!("{ROW_PREFIX}{}", HEXLOWER.encode(&self.0))
    }

    /// Whether text from a session's row is such a digest, and not the hash of a file.
    pub fn is_note(text: &str) -> bool {
        text.starts_with(ROW_PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_make_no_difference_and_the_order_does() {
        let of = |etags: &[&str]| EtagsHash::of(etags.iter().copied());
        assert_eq!(of(&["\"a\"", "b"]), of(&["a", "\"b\""]));
        assert_ne!(of(&["a", "b"]), of(&["b", "a"]));
        assert_ne!(of(&["ab"]), of(&["a", "b"]));
        // printf 'a\nb\n' | sha256sum
        let known = "911169DDAAF146AFF539F58C26C489AF3B892DFF0FE283C1C264C65AE5AA59A2";
        assert_eq!(EtagsHash::parse(known).unwrap(), of(&["a", "b"]));
        assert!(EtagsHash::parse(&known[1..]).unwrap_err().message.starts_with("`etags_sha256` is \""));
        assert!(EtagsHash::is_note(&of(&["a"]).note()) && !EtagsHash::is_note("crc64nvme:AAAAAAAAAAA="));
    }
}
