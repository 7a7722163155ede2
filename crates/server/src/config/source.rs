//! Reads settings from their layers, and collects all problems.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::service_link;
use super::value::Setting;

/// Variables with the common prefix that belong to the command-line client.
const CLIENT_VARIABLES: [&str; 2] = ["PARTWAY_API_KEY", "PARTWAY_URL"];
/// Names the configuration file, and therefore is no setting in it.
const CONFIG_VARIABLE: &str = "PARTWAY_CONFIG";

/// The variable of test builds. Other builds refuse it as an unknown setting.
#[cfg(feature = "failpoints")]
fn is_test_variable(name: &str) -> bool {
    name == crate::failpoint::VARIABLE
}

#[cfg(not(feature = "failpoints"))]
fn is_test_variable(_name: &str) -> bool {
    false
}

/// The environment variable that sets `key`.
pub(super) fn env_name(key: &str) -> String {
    format!("PARTWAY_{}", key.replace('.', "_").to_uppercase())
}

/// Settings as written, by key, each with its origin.
#[derive(Debug, Default)]
pub struct SettingsReader {
    written: BTreeMap<String, Written>,
    problems: Vec<Problem>,
}

#[derive(Debug)]
struct Written {
    value: String,
    origin: String,
}

/// One problem of the configuration, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(pub String);

/// All problems of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} problem(s):", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  - {}", problem.0))
    }
}

impl std::error::Error for ConfigError {}

impl SettingsReader {
    /// Adds the text of a TOML file, the weakest layer. `file` names it in messages.
    pub fn with_toml(mut self, file: &str, text: &str) -> Self {
        match text.parse::<toml::Table>() {
            Ok(table) => self.add_table(file, "", table),
            Err(error) => self.problems.push(Problem(format!("{file} is not TOML: {}", error.to_string().trim()))),
        }
        self
    }

    fn add_table(&mut self, file: &str, prefix: &str, table: toml::Table) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            match value {
                toml::Value::Table(inner) => self.add_table(file, &key, inner),
                toml::Value::String(text) => self.set(key, text, file.to_owned()),
                other => self.set(key, other.to_string(), file.to_owned()),
            }
        }
    }

    /// Adds environment variables, which outrank the file. Only those that begin with `PARTWAY_` count, except the service
    /// variables of Kubernetes for a service of that name.
    pub fn with_env(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        for (name, value) in variables {
            let ours = name.starts_with("PARTWAY_")
                && name != CONFIG_VARIABLE
                && !CLIENT_VARIABLES.contains(&&*name)
                && !is_test_variable(&name)
                && !service_link::is_service_link(&name, &value);
            if ours {
                // A variable keeps its own name, which the message about an unknown one shows.
                self.set(name.clone(), value, name);
            }
        }
        self
    }

    /// Sets `key` from the command line, the strongest layer.
    pub fn with_flag(mut self, flag: &str, key: &str, value: Option<String>) -> Self {
        if let Some(value) = value {
            self.written.remove(&env_name(key));
            self.set(key.to_owned(), value, flag.to_owned());
        }
        self
    }

    fn set(&mut self, key: String, value: String, origin: String) {
        self.written.insert(key, Written { value, origin });
    }

    /// Takes the setting out, or its default. A bad value becomes a problem, and the default replaces it, so that all other
    /// settings are read as well.
    pub(super) fn take<T: Setting>(&mut self, key: &str, default: &'static str) -> T::Value {
        let from_file_or_flag = self.written.remove(key);
        let from_env = self.written.remove(&env_name(key));
        if let Some(Written { value, origin }) = from_env.or(from_file_or_flag) {
            match T::parse(&value) {
                Some(parsed) => return parsed,
                None => {
                    let shown = if T::IS_SECRET { "not shown".to_owned() } else { format!("{value:?}") };
                    self.problem(match T::problem(&value) {
                        Some(problem) => format!("{key} (from {origin}) {problem}"),
                        None => format!("{key} is {shown} (from {origin}); allowed: {}", T::ALLOWED),
                    });
                }
            }
        }
        match T::parse(default) {
            Some(parsed) => parsed,
            None => unreachable!("the default of {key} is not allowed; a test reads all defaults"),
        }
    }

    /// Adds a problem.
    pub(super) fn problem(&mut self, text: String) {
        self.problems.push(Problem(text));
    }

    /// Reads the value of `key` from a file, if one is named, without white space around it.
    pub(super) fn read_file<T: Setting>(&mut self, key: &str, value: &mut Option<T::Value>, file: Option<&Path>) {
        let Some(file) = file else { return };
        if value.is_some() {
            return self.problem(format!("{key} and {key}_file are both set; allowed: one of them"));
        }
        match std::fs::read_to_string(file) {
            Ok(text) => match T::parse(text.trim()) {
                Some(parsed) => *value = Some(parsed),
                None => {
                    let from = file.display();
                    self.problem(match T::problem(text.trim()) {
                        Some(problem) => format!("{key} (from {from}) {problem}"),
                        None => format!("{key} (from {from}) is malformed; allowed: {}", T::ALLOWED),
                    });
                }
            },
            Err(error) => self.problem(format!("{key}_file is {file:?}, which cannot be read: {error}")),
        }
    }

    /// Ends the reading: all known settings were taken, and those that are left are unknown.
    pub(super) fn finish(mut self, known: &[&str]) -> Result<(), ConfigError> {
        for (key, Written { origin, .. }) in &self.written {
            let names = known.iter().map(|known| if key == origin { env_name(known) } else { (*known).to_owned() });
            let nearest = names.min_by_key(|name| strsim::levenshtein(name, key)).unwrap_or_default();
            self.problems.push(Problem(format!("{key} (from {origin}) is not a setting; the nearest is {nearest}")));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError { problems: self.problems }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Age, BaseUrl, ByteRate, Bytes, Config, LogFormat, Retention, Seconds, print_bytes, print_duration,
    };

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn flags_outrank_environment_outranks_file() {
        let source = SettingsReader::default()
            .with_toml("p.toml", "listen = \"127.0.0.1:1\"\npublic_url = \"https://file\"\n[log]\nformat = \"json\"\n[storage]\nreserve = false")
            .with_env(env(&[("PARTWAY_LISTEN", "127.0.0.1:2"), ("PARTWAY_PUBLIC_URL", "https://env/"), ("HOME", "/x"), ("PARTWAY_API_KEY", "sk")]))
            .with_flag("--listen", "listen", Some("127.0.0.1:3".into()));
        let config = Config::read(source).unwrap();
        assert_eq!(config.http.listen.port(), 3);
        assert_eq!(config.http.public_url.as_ref().map(BaseUrl::as_str), Some("https://env"));
        assert_eq!(config.log.format, LogFormat::Json);
        assert!(!config.storage.reserve);
    }

    #[test]
    fn sizes_and_durations_are_read_with_units_from_every_layer_and_plain_numbers_count_bytes_and_seconds() {
        let source = SettingsReader::default()
            .with_toml("p.toml", "[limits]\nmax_file_bytes = \"2TiB\"\nmax_direct_bytes = 1_000_000\n[storage]\nurl_seconds = 60\nsweep_seconds = \"90\"")
            .with_env(env(&[("PARTWAY_LIMITS_PUBLIC_BYTES", "10GB"), ("PARTWAY_WEBHOOKS_FORGET_DEAD_SECONDS", "2w")]))
            .with_flag("--min-free", "storage.min_free_bytes", Some("64MiB".into()));
        let config = Config::read(source).unwrap();
        let limits = &config.limits;
        assert_eq!(
            (limits.max_file_bytes, limits.max_direct_bytes, limits.public_bytes),
            (2 << 40, 1_000_000, 10_000_000_000)
        );
        assert_eq!(config.storage.min_free_bytes, 64 << 20);
        let seconds = [config.storage.url_seconds, config.storage.sweep_seconds, config.webhooks.forget_dead_seconds];
        assert_eq!(seconds.map(|duration| duration.as_secs()), [60, 90, 14 * 86_400]);
    }

    #[test]
    fn defaults_are_written_as_they_are_printed() {
        let mut with_units = 0;
        for setting in Config::documentation().into_iter().flat_map(|(_, settings)| settings) {
            let printed = if setting.allowed == Bytes::ALLOWED {
                Bytes::parse(setting.default).map(print_bytes)
            } else if setting.allowed == ByteRate::ALLOWED {
                ByteRate::parse(setting.default).map(print_bytes)
            } else if [Seconds::ALLOWED, Age::ALLOWED, Retention::ALLOWED].contains(&setting.allowed) {
                Retention::parse(setting.default).map(print_duration)
            } else {
                continue;
            };
            assert_eq!(printed.unwrap_or_default(), setting.default, "{}", setting.key);
            with_units += 1;
        }
        assert!(with_units > 20, "{with_units} settings have a size or a duration");
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let source = SettingsReader::default()
            .with_toml("p.toml", "lisen = \"x\"\n[limits]\nmax_file_bytes = -1\nmax_direct_bytes = \"1.5GiB\"\n[storage]\nreserve = \"maybe\"")
            .with_env(env(&[("PARTWAY_PUBLIC_URL", "ftp://x"), ("PARTWAY_STORAGE_URL_SECONDS", "2d"), ("PARTWAY_LOG_FORMT", "json")]))
            .with_flag("--listen", "listen", Some("nowhere".into()));
        let message = Config::read(source).unwrap_err().to_string();
        let expected = [
            "8 problem(s)",
            "listen is \"nowhere\" (from --listen); allowed: an IP address",
            "public_url is \"ftp://x\" (from PARTWAY_PUBLIC_URL); allowed: an http or https URL",
            "storage.reserve is \"maybe\" (from p.toml); allowed: `true` or `false`",
            "limits.max_file_bytes is \"-1\" (from p.toml); allowed: a size such as `512KiB`, `10MiB`, `5TiB` or `1GB`",
            "limits.max_direct_bytes (from p.toml) is \"1.5GiB\"; a size cannot have a fraction: write a whole number",
            "storage.url_seconds is \"2d\" (from PARTWAY_STORAGE_URL_SECONDS); allowed: a duration such as `30s`",
            "PARTWAY_LOG_FORMT (from PARTWAY_LOG_FORMT) is not a setting; the nearest is PARTWAY_LOG_FORMAT",
            "lisen (from p.toml) is not a setting; the nearest is listen",
        ];
        for part in expected {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
    }
}
