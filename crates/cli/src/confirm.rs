//! Confirmation of deletions. Invariant: only a typed `y` or `yes` confirms.

use std::io::{self, IsTerminal};

use crate::{Failure, output};

/// Asks on the terminal. Without a terminal it fails.
pub(crate) async fn confirm(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err("nothing was deleted: there is no terminal for the confirmation; --yes deletes without it".into());
    }
    output::ask(format!("{question} [y/N]"))?;
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = answer.await??;
    let is_yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !is_yes {
        output::say("Nothing was deleted.");
    }
    Ok(is_yes)
}
