//! The configuration file and the environment.

use partway_server::Config;
use partway_server::config::SettingsReader;

/// Settings are within their bounds, or every problem is named in a message of bounded length; a secret is in none.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Nothing may open files that the fuzzer names.
    if text.contains("_file") || text.contains("_FILE") || text.contains("\\u") || text.contains("\\U") {
        return;
    }
    let variables = text.lines().filter_map(|line| line.split_once('='));
    let variables = variables.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    for source in [
        SettingsReader::default().with_toml("p.toml", text),
        SettingsReader::default().with_env(variables.collect::<Vec<_>>()),
    ] {
        match Config::read(source) {
            Ok(config) => {
                assert!(!config.http.public_url.is_some_and(|url| url.as_str().ends_with('/')));
            }
            Err(error) => assert!(!error.problems.is_empty()),
        }
    }
}
