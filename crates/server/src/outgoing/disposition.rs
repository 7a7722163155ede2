//! The file name in a `Content-Disposition` header (RFC 6266).

use percent_encoding::percent_decode_str;

/// The name that the header gives the file, if it gives one: `filename*` before `filename`.
pub(crate) fn file_name(header: &[u8]) -> Option<String> {
    // Some servers send the bytes of names unencoded; most are UTF-8.
    let header = String::from_utf8_lossy(header);
    let (mut plain, mut extended) = (None, None);
    for (name, value) in parameters(&header) {
        match name.to_ascii_lowercase().as_str() {
            "filename" => plain = plain.or(Some(value)),
            "filename*" => extended = extended.or_else(|| decode_extended(&value)),
            _ => {}
        }
    }
    extended.or(plain).filter(|name| !name.is_empty())
}

/// The parameters after the disposition's type, unquoted.
fn parameters(header: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = header.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches(|c: char| c == ';' || c.is_whitespace()).to_owned();
        let after = after.trim_start();
        let value;
        (value, rest) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let (value, rest) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), rest)
            }
        };
        found.push((name, value));
    }
    found
}

/// The text in quotes, and the rest after them.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, text[at + 1..].trim_start_matches([' ', ';'])),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => value.push(c),
        }
    }
    (value, "")
}

/// `UTF-8'language'percent-encoded` (RFC 8187).
fn decode_extended(value: &str) -> Option<String> {
    let mut pieces = value.splitn(3, '\'');
    let (charset, _language, encoded) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let bytes = percent_decode_str(encoded);
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" => bytes.decode_utf8().ok().map(Into::into),
        "iso-8859-1" => Some(bytes.map(char::from).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::file_name;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_as_servers_write_them() {
        for (header, name) in [
            ("attachment; filename=a.txt", Some("a.txt")),
            ("attachment; filename=\"a b; c.txt\"; size=3", Some("a b; c.txt")),
            ("attachment;filename=\"a\\\"b\\\\.txt\"", Some("a\"b\\.txt")),
            ("inline; filename=\"x.txt\"; filename*=UTF-8''caf%C3%A9.txt", Some("café.txt")),
            ("attachment; filename*=iso-8859-1'en'%A3.txt; filename=x", Some("£.txt")),
            ("attachment; filename*=koi8-r''%A3.txt; filename=x", Some("x")),
            ("attachment; FileName = \"räksmörgås.txt\"", Some("räksmörgås.txt")),
            ("attachment", None),
            ("attachment; filename=\"\"", None),
            ("attachment; filename=\"open", Some("open")),
            ("", None),
        ] {
            assert_eq!(file_name(header.as_bytes()).as_deref(), name, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = file_name(&header);
        }

        #[test]
        fn no_text_makes_it_panic(header in "[a;= \"\\\\*'%é]{0,60}") {
            let _ = file_name(format!("x;filename{header}").as_bytes());
        }
    }
}
