//! `partway secrets list|rotate`

use clap::{Args, Subcommand, ValueEnum};
use partway_server::db::secrets::Secret;
use partway_server::db::{Timestamp, secrets};
use partway_server::service::secret::{Rotatable, SecretName};
use serde_json::json;

use super::database::{read, write_to_free};
use crate::settings::OutputArgs;
use crate::{Failure, output, table};

/// Most seconds that two values of a secret may be good beside each other: a month.
const MAX_GRACE_SECONDS: u64 = 31 * 24 * 60 * 60;

/// Commands for the server's own secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// List the secrets, without their values.
    List(OutputArgs),
    /// Give a secret a new value. Running servers take it up within seconds.
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// The secret.
    name: Name,
    /// How long the value before stays good: a number and s, m, h or d. 0 after a leak.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = grace_seconds)]
    grace: u64,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    PartUrls,
    Webhooks,
    PublicKeys,
}

impl Name {
    fn rotatable(self) -> Result<Rotatable, &'static str> {
        match self {
            Self::PartUrls => Ok(Rotatable::PartUrls),
            Self::Webhooks => Ok(Rotatable::Webhooks),
            Self::PublicKeys => Err(
                "the secret of public keys cannot be rotated: the keys are derived from it and stand in pages that would stop \
                 working all at once, and they are no secrets; make a new key with `partway keys create --kind public`, put it \
                 into the pages, and revoke the old one with `partway keys revoke`",
            ),
        }
    }
}

fn grace_seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("it is {text:?}; allowed: 0, or a whole number and s, m, h or d, at most 31d");
    let (number, unit_seconds) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (
            number,
            [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]
                .into_iter()
                .find_map(|(unit, seconds)| text.ends_with(unit).then_some(seconds))
                .unwrap_or(1),
        ),
        None if text == "0" => (text, 1),
        None => return Err(wrong()),
    };
    let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = number.parse::<u64>().ok().filter(|_| is_plain).and_then(|number| number.checked_mul(unit_seconds));
    seconds.filter(|seconds| *seconds <= MAX_GRACE_SECONDS).ok_or_else(wrong)
}

/// Runs the command on the database, beside the server if one is running.
pub(crate) fn secrets(command: SecretsCommand) -> Result<(), Failure> {
    match command {
        SecretsCommand::List(args) => list(&args),
        SecretsCommand::Rotate(args) => rotate(&args),
    }
}

fn list(args: &OutputArgs) -> Result<(), Failure> {
    let found = read(&args.store.config()?, |tx| {
        SecretName::ALL
            .into_iter()
            .map(|name| Ok((name, secrets::find(tx, name.as_str())?)))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let now = Timestamp::now();
    let rows = found.into_iter().map(|(name, secret)| {
        let rotated_at = secret.as_ref().and_then(|secret| secret.rotated_at).map(Timestamp::to_iso8601);
        let until =
            secret.as_ref().and_then(|secret| secret.previous_at(now)).map(|previous| previous.until.to_iso8601());
        (name, rotated_at, until)
    });
    if args.json {
        for (name, rotated_at, until) in rows {
            output::json(&json!({"name": name.as_str(), "purpose": name.purpose(), "rotated_at": rotated_at,
                                 "previous_until": until}))?;
        }
        return Ok(());
    }
    let rows: Vec<_> = rows
        .map(|(name, rotated_at, until)| {
            [
                name.as_str().to_owned(),
                rotated_at.unwrap_or_default(),
                until.unwrap_or_default(),
                name.purpose().to_owned(),
            ]
        })
        .collect();
    Ok(table::print(["NAME", "ROTATED", "PREVIOUS GOOD UNTIL", "PURPOSE"], &rows)?)
}

fn rotate(args: &RotateArgs) -> Result<(), Failure> {
    let (secret, grace) = (args.name.rotatable()?, args.grace);
    let name = secret.name().as_str();
    let (before, Secret { rotated_at, previous, .. }) = write_to_free(&args.output.store.config()?, move |tx| {
        let before = secrets::find(tx, name)?;
        Ok((before, secret.rotate(tx, grace)?))
    })?;
    let until = previous.map(|previous| previous.until.to_iso8601());
    // Whoever rotates once more because of it ends the grace of the value before.
    let unsaid = format!("{name} was rotated, and need not be again, but this could not be shown");
    if args.output.json {
        let rotated_at = rotated_at.map(Timestamp::to_iso8601);
        let shown = json!({"name": name, "rotated_at": rotated_at, "previous_until": until});
        return output::needed(output::json(&shown), unsaid);
    }
    let printed = output::line(format_args!("Rotated {name}; running servers take it up within seconds."));
    output::needed(printed, unsaid)?;
    match until {
        Some(until) => output::say(format_args!("The value before stays good until {until}.")),
        None => output::say("The previous value is refused from now on."),
    }
    if before.is_some_and(|before| before.previous_at(Timestamp::now()).is_some()) {
        output::say("The value before that one, still good until now, is refused too.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_is_a_number_and_a_unit() {
        for (text, seconds) in [("0", 0), ("0s", 0), ("90s", 90), ("5m", 300), ("1h", 3600), ("31d", MAX_GRACE_SECONDS)]
        {
            assert_eq!(grace_seconds(text), Ok(seconds), "{text}");
        }
        for text in ["", "1", "h", "1.5h", "-1s", "+1s", "32d", "1 h", "99999999999999999999d", "1w"] {
            assert!(grace_seconds(text).is_err_and(|error| error.contains("allowed")), "{text}");
        }
    }
}
