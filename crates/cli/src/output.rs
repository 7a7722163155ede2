//! Standard output, and what is said on standard error. Whoever reads the former may have enough before the end, as
//! `| head` has: that ends a command, quietly.
//!
//! Invariant: nothing that a server, a proxy or a file name says reaches the terminal as something that it obeys, and nothing
//! panics where nobody reads. All commands print by these functions and those of `table.rs` alone; clippy sees to it.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::{Failure, human};

/// Prints a line.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    print(&human::plain(&text.to_string()))
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    print(&plain_json(&serde_json::to_string(value)?))
}

/// A line is out of this process when this returns.
fn print(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// The outcome of printing what nobody may miss: unlike that of a list, which its reader may have had enough of, a failure is
/// said in any case, behind how things are now.
pub(crate) fn needed(printed: io::Result<()>, state: impl Display) -> Result<(), Failure> {
    printed.map_err(|error| format!("{state}: {error}").into())
}

/// JSON that means the same, with what a terminal would obey escaped. Outside of strings JSON has nothing of it.
fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if human::is_obeyed(c) {
            // All of them are of the first plane: one unit of UTF-16.
            plain.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Says something on standard error, in one line. If nobody can hear it, that is all the same.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", human::plain(&text.to_string()));
}

/// Says something of several lines.
pub(crate) fn say_lines(text: impl Display) {
    text.to_string().lines().for_each(say);
}

/// Asks something on standard error: what is typed comes on the same line.
pub(crate) fn ask(text: impl Display) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{} ", human::plain(&text.to_string()))?;
    stderr.flush()
}

/// Whether a command failed only because nobody reads what it prints.
pub(crate) fn is_closed(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_means_the_same_and_does_nothing_to_a_terminal() {
        let text = "a\u{1b}[2J\u{202e}\u{9b}\u{7f}\"\\ä😀";
        let printed = plain_json(&serde_json::to_string(text).unwrap());
        assert!(!printed.chars().any(human::is_obeyed), "{printed}");
        assert_eq!(serde_json::from_str::<String>(&printed).unwrap(), text);
    }
}
