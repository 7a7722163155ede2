//! The words that `src/db/sql/dialect.rs` replaces for PostgreSQL, and `src/db/sql/builder.rs` for both engines, are in no SQL
//! string literal: they are replaced there as well.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Chars;

/// Words of a query and of a migration that are replaced.
const IN_QUERIES: [&str; 2] = ["?", "/*"];
const IN_MIGRATIONS: [&str; 3] = [" TEXT", " BLOB", " WITHOUT ROWID"];

/// A text with one of these is taken for SQL.
const KEYWORDS: [&str; 9] =
    ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "VALUES ", "WHERE ", " AND ", "ORDER BY ", "WITH "];

/// The string literals of Rust source, escapes resolved as far as SQL has any.
fn string_literals(source: &str) -> Vec<String> {
    let (mut literals, mut chars, mut last) = (Vec::new(), source.chars().peekable(), ' ');
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => drop(chars.by_ref().find(|c| *c == '\n')),
            '\'' => skip_char_or_lifetime(&mut chars),
            '"' if matches!(last, 'r' | '#') => literals.push(chars.by_ref().take_while(|c| *c != '"').collect()),
            '"' => literals.push(rest_of_literal(&mut chars)),
            _ => {}
        }
        last = c;
    }
    literals
}

fn skip_char_or_lifetime(chars: &mut Peekable<Chars<'_>>) {
    match chars.next() {
        Some('\\') => drop(chars.by_ref().skip(1).find(|c| *c == '\'')),
        _ if chars.peek() == Some(&'\'') => drop(chars.next()),
        _ => {}
    }
}

fn rest_of_literal(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut literal = String::new();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('"', _) => break,
            ('\\', Some('\n')) => while chars.next_if(|c| c.is_whitespace()).is_some() {},
            ('\\', _) => literal.extend(chars.next()),
            (c, _) => literal.push(c),
        }
    }
    literal
}

/// The quoted strings of an SQL text that have one of the words in them.
fn hazards(sql: &str, words: &[&str]) -> Vec<String> {
    let quoted = sql.split('\'').skip(1).step_by(2);
    quoted.filter(|text| words.iter().any(|word| text.contains(word))).map(str::to_owned).collect()
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn no_string_in_sql_has_a_word_that_is_replaced() {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let (mut queries, mut migrations, mut wrong) = (0, 0, BTreeSet::new());
    for path in found {
        let hazards: Vec<String> = match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => {
                let texts = string_literals(&std::fs::read_to_string(&path).unwrap());
                let texts = texts.iter().filter(|text| KEYWORDS.iter().any(|word| text.contains(word)));
                texts.inspect(|_| queries += 1).flat_map(|text| hazards(text, &IN_QUERIES)).collect()
            }
            Some("sql") => {
                migrations += 1;
                let text = std::fs::read_to_string(&path).unwrap();
                let statements = text.lines().map(|line| line.split("--").next().unwrap_or_default());
                hazards(&statements.collect::<Vec<_>>().join("\n"), &IN_MIGRATIONS)
            }
            _ => Vec::new(),
        };
        wrong.extend(hazards.into_iter().map(|text| format!("{}: '{text}'", path.display())));
    }
    assert!(queries > 150 && migrations >= 6, "{queries} queries, {migrations} migrations");
    assert_eq!(wrong, BTreeSet::new());
}

#[test]
fn a_word_in_a_string_is_found_and_elsewhere_is_none() {
    let source = r##"
        // "SELECT 'a?'"
        fn f<'a>(c: &'a char) { match c { '"' | '\'' => {} } }
        const A: &str = "SELECT 1 WHERE a = ?1 AND b = 'who?' /*FOR UPDATE*/";
        const B: &str = "SELECT 1 \
                         WHERE c = '' AND d = '/*'";
        const C: &str = r#"SELECT '?'"#;
    "##;
    let literals = string_literals(source);
    let found: Vec<String> = literals.iter().flat_map(|text| hazards(text, &IN_QUERIES)).collect();
    assert_eq!((literals.len(), found), (3, vec!["who?".to_owned(), "/*".to_owned(), "?".to_owned()]));
    assert_eq!(hazards("a TEXT DEFAULT 'x TEXT', b BLOB", &IN_MIGRATIONS), ["x TEXT"]);
}
