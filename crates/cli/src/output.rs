//! Results on standard output, and messages on standard error.
//!
//! Invariant: no text of a server, a proxy or a file name reaches the terminal as a control sequence, and nothing panics when
//! nobody reads. A reader of standard output may close it early, as `head` does, which ends a command without a message. All
//! commands print with these functions and those of `table.rs` alone; clippy checks that.

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

/// Prints a line and flushes it.
fn print(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// The outcome of printing a result that must not be lost. Other than for a list, which a reader may close early, a failure is
/// always reported, after `state`: the state of the data now.
pub(crate) fn needed(printed: io::Result<()>, state: impl Display) -> Result<(), Failure> {
    printed.map_err(|error| format!("{state}: {error}").into())
}

/// The same JSON with control characters escaped. JSON has those in strings alone.
fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if human::is_obeyed(c) {
            // All of them are in the first plane: one unit of UTF-16.
            plain.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Prints a message of one line to standard error. A failure is ignored.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", human::plain(&text.to_string()));
}

/// Prints a message of several lines.
pub(crate) fn say_lines(text: impl Display) {
    text.to_string().lines().for_each(say);
}

/// Prints a question to standard error. The answer is typed on the same line.
pub(crate) fn ask(text: impl Display) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{} ", human::plain(&text.to_string()))?;
    stderr.flush()
}

/// Whether a command failed only because its reader closed standard output.
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
