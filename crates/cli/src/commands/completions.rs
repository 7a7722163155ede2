//! `partway completions`

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{Cli, Failure};

/// Arguments of `partway completions`.
#[derive(Debug, Args)]
#[command(after_help = "Example: partway completions bash > ~/.local/share/bash-completion/completions/partway")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Prints the completions.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    // clap_complete would panic on a closed standard output.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "partway", &mut text);
    let mut stdout = io::stdout().lock();
    stdout.write_all(&text)?;
    Ok(stdout.flush()?)
}
