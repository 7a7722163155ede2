//! Whether bytes are text, and in which encoding.

/// The encoding of a text, as far as its first bytes show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Only ASCII so far.
    Ascii,
    /// UTF-8 with characters beyond ASCII, or with a byte order mark.
    Utf8,
    /// UTF-16 with a byte order mark.
    Utf16,
    /// One byte a character, such as windows-1252, or an encoding of East Asia.
    Legacy,
}

/// The encoding, if the first bytes of a file are text. An empty file is not.
pub(super) fn encoding(head: &[u8]) -> Option<Encoding> {
    if let Some(units) = utf16_units(head) {
        return are_text(units).then_some(Encoding::Utf16);
    }
    if head.is_empty() || head.iter().any(|byte| is_binary(*byte)) {
        return None;
    }
    match std::str::from_utf8(head) {
        Ok(_) if head.is_ascii() => Some(Encoding::Ascii),
        Ok(_) => Some(Encoding::Utf8),
        // The last character may be incomplete.
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => Some(Encoding::Utf8),
        Err(_) => Some(Encoding::Legacy),
    }
}

/// Control characters that texts do not have.
fn is_binary(byte: u8) -> bool {
    matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f)
}

/// The code units of a text in UTF-16 with a byte order mark.
pub(super) fn utf16_units(bytes: &[u8]) -> Option<impl Iterator<Item = u16>> {
    let from = match bytes {
        [0xFF, 0xFE, ..] => u16::from_le_bytes,
        [0xFE, 0xFF, ..] => u16::from_be_bytes,
        _ => return None,
    };
    Some(bytes[2..].as_chunks::<2>().0.iter().map(move |pair| from(*pair)))
}

/// Sound in MPEG frames may begin like the byte order mark; text has no control characters there, either.
fn are_text(units: impl Iterator<Item = u16>) -> bool {
    let mut units = units.peekable();
    units.peek().is_some() && !units.any(|unit| unit < 0x80 && is_binary(unit as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_known_by_its_bytes_and_so_is_its_encoding() {
        for (bytes, expected) in [
            (&b"just words\r\n"[..], Some(Encoding::Ascii)),
            ("Grüße, Привет, 你好\n".as_bytes(), Some(Encoding::Utf8)),
            (b"\xef\xbb\xbfwith a mark", Some(Encoding::Utf8)),
            // The last character is cut off.
            (b"Gr\xc3", Some(Encoding::Utf8)),
            (b"BMW;H\xe4ndler;Gr\xf6\xdfe\n", Some(Encoding::Legacy)),
            (b"\xff\xfea\0b\0", Some(Encoding::Utf16)),
            (b"\xfe\xff\0a\0b", Some(Encoding::Utf16)),
            (b"\xff\xfe", None),
            (b"\xff\xfe\x01\0\x02\0", None),
            (b"\x1b[31mred\x1b[0m", Some(Encoding::Ascii)),
            (b"", None),
            (b"a\0b", None),
            (b"\x89PNG\r\n\x1a\n", None),
        ] {
            assert_eq!(encoding(bytes), expected, "{bytes:?}");
        }
    }
}
