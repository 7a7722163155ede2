//! Case folding, by which names are searched and sorted in any alphabet.

use unicase::UniCase;
use unicode_normalization::UnicodeNormalization;

/// The text in full case folding (Unicode Standard, section 3.13), composed (NFC). Texts that differ in case alone have the same
/// result.
pub fn folded(text: &str) -> String {
    UniCase::unicode(text.nfc().collect::<String>()).to_folded_case().nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn case_does_not_count_in_any_alphabet() {
        for (one, other) in [
            ("Straße.PDF", "STRASSE.pdf"),
            ("ΟΔΟΣ", "οδος"),
            ("ДОГОВОР", "договор"),
            ("ÉTÉ", "e\u{301}te\u{301}"),
            ("ﬁle", "FILE"),
            ("Ոգի", "ՈԳԻ"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        assert_eq!(folded("文件 100%_a"), "文件 100%_a");
    }
}
