//! The server's settings from the command line, the environment and a file.

use std::path::PathBuf;

use clap::Args;
use partway_server::Config;
use partway_server::config::SettingsReader;

use crate::Failure;

/// Arguments of `partway serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[arg(long, value_name = "ADDRESS", help = with_default("Address and port to listen on", "listen"))]
    listen: Option<String>,
    /// URL by which clients reach this server, if it differs from the address: with a proxy in front.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Check all settings, print what is wrong with them, and exit with 0 if nothing is, else with 1. Starts nothing.
    #[arg(long)]
    pub(crate) check_config: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Arguments of all commands that read or change the data.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[arg(long, value_name = "DIR", help = with_default("Directory of the database and of the files", "data_dir"))]
    data_dir: Option<String>,
    /// TOML file with settings; docs/CONFIG.md lists them.
    #[arg(long, value_name = "FILE", env = "PARTWAY_CONFIG")]
    config: Option<PathBuf>,
}

/// The help of an option that is a setting, too: the default is the setting's. It is no default of the option, which would override
/// the environment and the file.
fn with_default(help: &str, key: &str) -> String {
    let mut settings = Config::documentation().into_iter().flat_map(|(_, settings)| settings);
    let default = settings.find(|setting| setting.key == key).map_or("", |setting| setting.default);
    format!("{help} [default: {default}]")
}

/// Arguments of a command that administers the database.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Print JSON, one object per line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

impl StoreArgs {
    fn source(&self) -> Result<SettingsReader, Failure> {
        let mut source = SettingsReader::default();
        if let Some(file) = &self.config {
            let text = std::fs::read_to_string(file)
                .map_err(|error| format!("the configuration file {} cannot be read: {error}", file.display()))?;
            source = source.with_toml(&file.display().to_string(), &text);
        }
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(source.with_env(variables).with_flag("--data-dir", "data_dir", self.data_dir.clone()))
    }

    /// The settings.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        Ok(Config::read(self.source()?)?)
    }
}

impl ServeArgs {
    /// The settings of the server.
    pub(crate) fn config(self) -> Result<Config, Failure> {
        let source = self.store.source()?.with_flag("--listen", "listen", self.listen).with_flag(
            "--public-url",
            "public_url",
            self.public_url,
        );
        Ok(Config::read(source)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_an_option_has_the_default_of_its_setting() {
        let defaults = Config::with_data_dir("./partway-data");
        assert_eq!(with_default("It", "listen"), format!("It [default: {}]", defaults.http.listen));
        assert_eq!(with_default("It", "data_dir"), "It [default: ./partway-data]");
    }
}
