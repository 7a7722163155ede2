//! The arguments that name the server and the key, for a command that can do without a key.

use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::Failure;
use crate::remote::ServerArgs;

/// The arguments of other commands, where the key may be missing.
#[derive(Debug)]
pub(crate) struct OptionalKey(ServerArgs);

impl OptionalKey {
    /// The arguments, for what needs no key.
    pub(crate) fn without_key(&self) -> &ServerArgs {
        &self.0
    }

    /// The arguments, for what needs a key.
    pub(crate) fn with_key(&self) -> Result<&ServerArgs, Failure> {
        match self.0.key.is_empty() {
            true => Err("a path or number needs the key of its workspace: --key KEY or PARTWAY_API_KEY".into()),
            false => Ok(&self.0),
        }
    }
}

fn optional(command: Command) -> Command {
    command.mut_arg("key", |key| key.required(false).default_value("").hide_default_value(true))
}

impl Args for OptionalKey {
    fn augment_args(command: Command) -> Command {
        optional(ServerArgs::augment_args(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        optional(ServerArgs::augment_args_for_update(command))
    }
}

impl FromArgMatches for OptionalKey {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        ServerArgs::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}
