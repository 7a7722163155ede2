//! Queries that are composed of fixed pieces.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::value::{Parameter, Value};

/// A query under construction: its text, and the values of its parameters.
#[derive(Default)]
pub(in crate::db) struct Sql {
    text: String,
    values: Vec<Value<'static>>,
}

impl Sql {
    /// Appends a piece in which each `?` is the next of the values.
    pub(in crate::db) fn push(&mut self, piece: &'static str, values: &[&dyn Parameter]) -> &mut Self {
        let mut values = values.iter();
        for (index, text) in piece.split('?').enumerate() {
            if index > 0 {
                self.values.extend(values.next().map(|value| value.to_value().into_owned()));
                self.text.push_str(&format!("?{}", self.values.len()));
            }
            self.text.push_str(text);
        }
        self
    }

    /// The text of the query, and its parameters in order.
    pub(in crate::db) fn finish(&self) -> (&'static str, Vec<&dyn Parameter>) {
        (intern_sql(&self.text), self.values.iter().map(|value| value as &dyn Parameter).collect())
    }
}

/// Keeps a text until the program ends, so that engines can keep the prepared statement by it. Their number is that of the
/// combinations of pieces: some hundreds, without text from outside.
pub(in crate::db) fn intern_sql(text: &str) -> &'static str {
    static KEPT: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = kept.get_or_insert_default();
    match kept.get(text) {
        Some(known) => known,
        None => {
            let new: &'static str = Box::leak(text.to_owned().into_boxed_str());
            kept.insert(new);
            new
        }
    }
}

/// The smallest text greater than all texts that start with `prefix`: the exclusive upper bound of an index range.
pub(in crate::db) fn prefix_upper_bound(prefix: &str) -> String {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // `char` ends with U+10FFFF and has a gap before U+E000.
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return text;
        }
    }
    // The prefix is empty or has only U+10FFFF: a text that is greater than all that occur.
    char::MAX.to_string().repeat(8)
}

/// Repeats some values until their number is a power of two. Each number of conditions is a statement of its own that is kept
/// prepared, so this bounds the number of statements.
pub(in crate::db) fn pad_to_bucket<T>(values: &[T]) -> impl Iterator<Item = &T> {
    let conditions = if values.is_empty() { 0 } else { values.len().next_power_of_two() };
    values.iter().cycle().take(conditions)
}

/// A pattern for `LIKE … ESCAPE '!'` that matches values with this text anywhere, literally.
pub(in crate::db) fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_in_their_order() {
        let mut sql = Sql::default();
        sql.push("SELECT 1 WHERE a = ? AND b = ?", &[&1_i64, &"x"]).push(" LIMIT ?", &[&20_u32]);
        let (text, values) = sql.finish();
        assert_eq!(text, "SELECT 1 WHERE a = ?1 AND b = ?2 LIMIT ?3");
        assert_eq!(values.len(), 3);
        assert!(std::ptr::eq(text, sql.finish().0));
    }

    #[test]
    fn no_text_with_the_prefix_reaches_its_upper_bound() {
        for (prefix, next) in [("docs/", "docs0"), ("a\u{10FFFF}", "b"), ("\u{D7FF}", "\u{E000}")] {
            assert_eq!(prefix_upper_bound(prefix), next);
        }
        assert!(prefix_upper_bound("\u{10FFFF}").as_str() > "\u{10FFFF}x");
    }

    #[test]
    fn wildcards_of_like_are_escaped() {
        assert_eq!(containing("50%_!"), "%50!%!_!!%");
    }
}
