//! HMAC-SHA256 (RFC 2104), keyed by the secrets of the database, and hexadecimal text.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit};
use sha2::Sha256;

/// An HMAC keyed by `secret`.
pub(crate) fn keyed(secret: &[u8; 32]) -> Hmac<Sha256> {
    // RFC 2104, section 2: a key shorter than the hash's block of 64 bytes is filled up with zeros.
    let mut block = [0; 64];
    block[..secret.len()].copy_from_slice(secret);
    Hmac::new(&block.into())
}

/// Lower-case hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// 32 bytes from 64 lower-case hexadecimal digits, the only form that [`to_hex`] writes.
pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::Mac;

    #[test]
    fn a_short_key_is_keyed_as_the_rfc_says() {
        let mut padded = keyed(&[0x0b; 32]);
        let mut reference = Hmac::<Sha256>::new_from_slice(&[0x0b; 32]).unwrap();
        padded.update(b"Hi There");
        reference.update(b"Hi There");
        assert_eq!(padded.finalize().into_bytes(), reference.finalize().into_bytes());
    }

    #[test]
    fn only_its_own_hexadecimal_is_read_back() {
        let bytes: [u8; 32] = std::array::from_fn(|i| (i * 37) as u8);
        let text = to_hex(&bytes);
        assert_eq!(from_hex(&text), Some(bytes));
        for bad in ["", &text[1..], &text.to_uppercase(), &format!("{text}0"), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
