//! `partway secrets list|rotate`

use clap::{Args, Subcommand, ValueEnum};
use partway_server::db::Timestamp;
use partway_server::service::secret::{Rotatable, Rotated, SecretState};
use serde_json::json;

use super::database::administer;
use crate::settings::OutputArgs;
use crate::{Failure, output, table};

/// Upper bound of the grace period of a rotation: a month.
const MAX_GRACE_SECONDS: u64 = 31 * 24 * 60 * 60;

/// `partway secrets`
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// List the secrets, without their values.
    List(OutputArgs),
    /// Replace the value of a secret. Running servers use the new one within seconds.
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// The secret.
    name: Name,
    /// How long the previous value stays valid, such as 90s, 10m, 1h or 7d. Use 0 after a leak.
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
                "the secret of public keys cannot be rotated: the keys are derived from it, so every page that uses one would stop \
                 working at once, and they are no secrets; create a new key with `partway keys create --kind public`, put it \
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

/// Runs the command on the database, next to the server if one is running.
pub(crate) fn secrets(command: SecretsCommand) -> Result<(), Failure> {
    match command {
        SecretsCommand::List(args) => list(&args),
        SecretsCommand::Rotate(args) => rotate(&args),
    }
}

fn list(args: &OutputArgs) -> Result<(), Failure> {
    let states = administer(&args.store.config()?, async |admin| admin.secrets.list().await)?;
    if args.json {
        for SecretState { name, rotated_at, previous_until } in states {
            output::json(&json!({"name": name.as_str(), "purpose": name.purpose(),
                                 "rotated_at": rotated_at.map(Timestamp::to_iso8601),
                                 "previous_until": previous_until.map(Timestamp::to_iso8601)}))?;
        }
        return Ok(());
    }
    let shown = |time: Option<Timestamp>| time.map(Timestamp::to_iso8601).unwrap_or_default();
    let row = |SecretState { name, rotated_at, previous_until }: SecretState| {
        [name.as_str().to_owned(), shown(rotated_at), shown(previous_until), name.purpose().to_owned()]
    };
    let rows: Vec<_> = states.into_iter().map(row).collect();
    Ok(table::print(["NAME", "ROTATED", "PREVIOUS VALID UNTIL", "PURPOSE"], &rows)?)
}

fn rotate(args: &RotateArgs) -> Result<(), Failure> {
    let (secret, grace) = (args.name.rotatable()?, args.grace);
    let Rotated { state: SecretState { name, rotated_at, previous_until }, ended_grace } =
        administer(&args.output.store.config()?, async |admin| admin.secrets.rotate(secret, grace).await)?;
    let (name, until) = (name.as_str(), previous_until.map(Timestamp::to_iso8601));
    // Rotating once more because of this message would end the grace period of the previous value.
    let unsaid = format!("{name} was rotated, and need not be again, but this could not be shown");
    if args.output.json {
        let rotated_at = rotated_at.map(Timestamp::to_iso8601);
        let shown = json!({"name": name, "rotated_at": rotated_at, "previous_until": until});
        return output::needed(output::json(&shown), unsaid);
    }
    let printed = output::line(format_args!("Rotated {name}; running servers use the new value within seconds."));
    output::needed(printed, unsaid)?;
    match until {
        Some(until) => output::say(format_args!("The previous value stays valid until {until}.")),
        None => output::say("The previous value is refused from now on."),
    }
    if ended_grace {
        output::say("The value before that, which was valid until now, is refused too.");
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
