//! Asking before something is deleted. Invariant: only a `y` or `yes` that somebody typed is one.

use std::io::{self, IsTerminal};

use crate::{Failure, output};

/// Asks on the terminal. Without one nobody can answer, which is an error.
pub(crate) async fn confirm(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err("nothing was deleted: there is no terminal to ask on; --yes deletes without asking".into());
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
