//! Queries that are put together of fixed pieces.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::value::{Parameter, Value};

/// A query in the making: its pieces, and the values of its parameters.
#[derive(Default)]
pub(super) struct Sql {
    text: String,
    values: Vec<Value<'static>>,
}

impl Sql {
    /// Adds a piece in which each `?` stands for the next of the values.
    pub(super) fn push(&mut self, piece: &'static str, values: &[&dyn Parameter]) -> &mut Self {
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

    /// The query, and its parameters in their order.
    pub(super) fn finish(&self) -> (&'static str, Vec<&dyn Parameter>) {
        (kept(&self.text), self.values.iter().map(|value| value as &dyn Parameter).collect())
    }
}

/// The same text for as long as the program runs, so that engines can keep the prepared statement by it. There are as
/// many as there are ways to put the pieces together: some hundreds, made of no outside text.
fn kept(text: &str) -> &'static str {
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

/// Behind every text that begins with `prefix`: for a range that an index can find.
pub(super) fn behind(prefix: &str) -> String {
    format!("{prefix}\u{10FFFF}")
}

/// A pattern for `LIKE … ESCAPE '!'` that finds exactly this text anywhere.
pub(super) fn containing(text: &str) -> String {
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
    fn what_like_takes_for_signs_is_plain() {
        assert_eq!(containing("50%_!"), "%50!%!_!!%");
    }
}
