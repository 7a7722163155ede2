//! The generated documents: docs/CONFIG.md, docs/ERRORS.md, docs/METRICS.md and docs/openapi.json. A test compares the files in the
//! repository with these.

use std::fmt::Write;

use partway_api::ErrorCode;

use crate::config::Config;
use crate::metrics;

/// docs/CONFIG.md.
pub fn config_md() -> String {
    let mut text = String::from(
        "# Settings\n\n<!-- Generated from the code by `partway docs`; do not edit. -->\n\n\
         No setting is needed. Each can be given, strongest first, as a flag of `partway serve` (those that have one: \
         `--listen`, `--data-dir`, `--public-url`), as an environment variable, or in the TOML file named by `--config` \
         or `PARTWAY_CONFIG`. A dot in a key is a TOML table: `storage.reserve` is `reserve` under `[storage]`. Unknown \
         keys and bad values stop the start, all listed at once; `partway serve --check-config` lists them without starting. \
         The service variables of Kubernetes for a service called `partway` (`PARTWAY_PORT=tcp://…`, \
         `PARTWAY_SERVICE_HOST=…`) are ignored.\n\n\
         Sizes have a unit: `KiB`, `MiB`, `GiB`, `TiB` and `PiB` count by 1024, `KB`, `MB`, `GB`, `TB` and `PB` by 1000, `B` is \
         bytes. Durations have one, too: `s`, `m`, `h`, `d` (24 hours) and `w`, also together, as in `1h 30m`. Where a key ends in \
         `_bytes` or `_seconds`, a plain number counts those. Sizes have no fractions (`1536MiB` is 1.5 GiB), durations are whole \
         seconds. In TOML, values with a unit are strings: `max_file_bytes = \"5TiB\"`.\n",
    );
    for (about, settings) in Config::documentation() {
        let _ = write!(
            text,
            "\n## {}\n\n| key | variable | default | allowed | |\n|---|---|---|---|---|\n",
            about.trim_end_matches('.')
        );
        for setting in settings {
            let default = if setting.default.is_empty() { "none".to_owned() } else { format!("`{}`", setting.default) };
            let _ = writeln!(
                text,
                "| `{}` | `{}` | {default} | {} | {} |",
                setting.key,
                setting.env(),
                setting.allowed,
                setting.about
            );
        }
    }
    text
}

/// docs/ERRORS.md.
pub fn errors_md() -> String {
    let mut text = String::from(
        "# Error codes\n\n<!-- Generated from the code by `partway docs`; do not edit. -->\n\n\
         Every error has the same shape: `success` (false), `error` (a few words), `message` (the field, what it was, \
         what is allowed), `errorCode` (below), and `requestId`, under which the server's log has the request.\n\n\
         | status | errorCode | meaning |\n|---|---|---|\n",
    );
    for code in ErrorCode::ALL {
        let _ = writeln!(text, "| {} | `{code}` | {} |", code.status(), code.meaning());
    }
    text
}

/// docs/METRICS.md.
pub fn metrics_md() -> String {
    let mut text = String::from(
        "# Metrics\n\n<!-- Generated from the code by `partway docs`; do not edit. -->\n\n\
         `GET /metrics` answers in the text format of Prometheus, or in OpenMetrics if `Accept` names it. \
         [OPERATIONS.md](OPERATIONS.md#watch-it) says how to collect them and which alerts to set. A histogram has three \
         series: `_bucket`, `_sum` and `_count`. Labels have values of the code alone, such as the template of a route: no id, path, \
         key or address is in a scrape. Counters begin at zero when the process starts; each node counts its own.\n",
    );
    for (about, metrics) in metrics::documentation() {
        let _ = write!(text, "\n## {about}\n\n| metric | type | labels | |\n|---|---|---|---|\n");
        for metric in metrics {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let (name, kind) = (metric.full_name(), metric.kind());
            let _ = writeln!(text, "| `{name}` | {kind} | {} | {} |", labels.join(", "), metric.about);
        }
    }
    text
}

/// docs/openapi.json, which `/openapi.json` answers: generated from the code with the feature `openapi`, otherwise the file at build time.
///
/// # Errors
/// When the document cannot be written as JSON.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    #[cfg(feature = "openapi")]
    return Ok(serde_json::to_string_pretty(&crate::api_document::document())? + "\n");
    #[cfg(not(feature = "openapi"))]
    Ok(crate::openapi::TEXT.to_owned())
}
