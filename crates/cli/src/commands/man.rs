//! `partway man`

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::{Cli, Failure};

/// Arguments of `partway man`.
#[derive(Debug, Args)]
#[command(after_help = "Example: partway man | man -l -")]
pub(crate) struct ManArgs {
    /// Write the page of every command to this directory, which is created if it is missing. Default: print the page of
    /// `partway` itself.
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Prints a manual page, or writes all.
pub(crate) fn man(args: &ManArgs) -> Result<(), Failure> {
    let Some(directory) = &args.output else {
        let mut text = Vec::new();
        Man::new(Cli::command().disable_help_subcommand(true)).render(&mut text)?;
        let mut stdout = io::stdout().lock();
        stdout.write_all(&text)?;
        return Ok(stdout.flush()?);
    };
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|error| format!("{}: {error}", directory.display()).into())
}
