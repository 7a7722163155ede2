//! `partway man`

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::{Cli, Failure};

/// What `partway man` takes.
#[derive(Debug, Args)]
#[command(after_help = "To read one: partway man | man -l -")]
pub(crate) struct ManArgs {
    /// Write a page for each command into this directory, which is made if it is not there. Without it: the page of
    /// `partway` itself, to standard output.
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
