//! The common part of commands that call a server: its address and the key, Ctrl-C, and advice after a failure.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Once;
use std::time::Duration;

use clap::Args;
use partway_client::{Client, Error, ErrorCode, RetryPolicy, Workspace};
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use crate::human::is_obeyed;
use crate::{Failure, output};

/// Exit code of a command that was ended by Ctrl-C, as in a shell: 128 plus the number of SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;
/// The address of a server without settings.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// Retries of commands that a person waits for: long enough for a restart of the server, short enough for a wrong address.
const INTERACTIVE_RETRY: RetryPolicy = RetryPolicy {
    tries: 3,
    wait: Duration::from_secs(10),
    first_pause: Duration::from_millis(500),
    longest_pause: Duration::from_secs(3),
};

/// Arguments that name the server and the key.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// URL of the server.
    #[arg(long, env = "PARTWAY_URL", default_value = DEFAULT_URL)]
    pub(crate) url: String,
    /// API key.
    #[arg(long, env = "PARTWAY_API_KEY", hide_env_values = true)]
    pub(crate) key: String,
    /// PEM file of certificates to trust in addition, for a server with a private certificate: that of the authority that issued
    /// it, or its own if that is no authority (CA:FALSE). SSL_CERT_FILE replaces the certificates of the system instead.
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
}

impl ServerArgs {
    /// A client of the server. Warns once of an unencrypted connection over the internet.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        static WARNED: Once = Once::new();
        if let Some(host) = public_host_in_clear(&self.url) {
            WARNED.call_once(|| {
                output::say(format_args!(
                    "partway: warning: http:// sends the key to {host} unencrypted, so others on the way can read it; use https://"
                ));
            });
        }
        self.client_of(&self.url, &self.key)
    }

    /// A client for public URLs of any host, which get no key.
    pub(crate) fn client_without_key(&self, url: &Url) -> Result<Client, Failure> {
        self.client_of(&url.origin().ascii_serialization(), "")
    }

    fn client_of(&self, url: &str, key: &str) -> Result<Client, Failure> {
        let authorities = self.cacert.as_deref().map(|file| {
            std::fs::read(file).map_err(|error| format!("--cacert {} cannot be read: {error}", file.display()))
        });
        let authorities = authorities.transpose()?;
        Client::trusting(url, key, authorities.as_deref()).map_err(|error| match error {
            Error::Authorities(problem) => {
                let file = self.cacert.as_deref().unwrap_or(Path::new("")).display();
                Failure::from(format!("--cacert {file} is of no use: {problem}"))
            }
            error => error.into(),
        })
    }

    /// The workspace of the key, for a command that a person waits for.
    pub(crate) fn workspace(&self) -> Result<Workspace, Failure> {
        self.workspace_with(INTERACTIVE_RETRY)
    }

    /// The same with other retries.
    pub(crate) fn workspace_with(&self, retry: RetryPolicy) -> Result<Workspace, Failure> {
        let say = |error: &Error, pause: Duration| {
            output::say(format_args!("partway: {error}; retrying in {:.1} s", pause.as_secs_f64()));
        };
        Ok(Workspace::of(self.client()?).retry(retry).on_retry(say))
    }

    /// The options with which another command finds the same server, quoted for a shell.
    pub(crate) fn options(&self) -> String {
        let url = if self.url == DEFAULT_URL { String::new() } else { format!(" --url {}", quoted(&self.url)) };
        let cacert = self.cacert.as_deref().map(|file| format!(" --cacert {}", quoted_path(file)));
        url + &cacert.unwrap_or_default()
    }
}

/// The host to which a key would go unencrypted, unless that is this machine or in a private network. Names are not resolved:
/// those of private networks have no dot, or one of the suffixes below.
fn public_host_in_clear(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "http")?;
    let is_near = match url.host()? {
        Host::Ipv4(address) => is_near_v4(address),
        Host::Ipv6(address) => {
            let within = address.to_ipv4_mapped().is_some_and(is_near_v4);
            within || address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let endings = [".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test"];
            !name.contains('.') || endings.iter().any(|ending| name.ends_with(ending))
        }
    };
    (!is_near).then(|| url.host_str().unwrap_or_default().to_owned())
}

fn is_near_v4(address: Ipv4Addr) -> bool {
    // 100.64.0.0/10 is for providers and VPNs with translation of addresses (RFC 6598).
    let is_shared = address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64;
    address.is_loopback() || address.is_private() || address.is_link_local() || is_shared
}

/// Runs a command. Ctrl-C ends it at any point.
pub(crate) fn run(command: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    block_on(async {
        let interrupted = interruption();
        tokio::select! {
            outcome = command => outcome,
            () = interrupted.cancelled() => Ok(ExitCode::from(INTERRUPTED)),
        }
    })
}

/// Runs a command that handles Ctrl-C itself.
pub(crate) fn block_on(command: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&error.into()),
    };
    let outcome = runtime.block_on(command);
    // A thread may still wait for the answer to a question.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| report(&error))
}

/// A token that the first Ctrl-C cancels. The second one ends the process.
pub(crate) fn interruption() -> CancellationToken {
    let interrupted = CancellationToken::new();
    let token = interrupted.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if token.is_cancelled() {
                std::process::exit(INTERRUPTED.into());
            }
            token.cancel();
        }
    });
    interrupted
}

fn report(error: &Failure) -> ExitCode {
    let advice = error.downcast_ref::<Error>().map(advice);
    if !output::is_closed(&**error) {
        output::say(format_args!("partway: {error}{}", advice.unwrap_or_default()));
    }
    ExitCode::FAILURE
}

/// An error of the client, with advice.
pub(crate) fn explained(error: &Error) -> impl Display {
    format!("{error}{}", advice(error))
}

/// Advice to append to an error.
fn advice(error: &Error) -> &'static str {
    match error {
        // The address that failed is not the one in --url.
        Error::Elsewhere { source, .. } if source.is_away() => "",
        Error::Elsewhere { source, .. } => advice(source),
        Error::Unreachable(_) => "; is the server running? --url or PARTWAY_URL sets its address",
        Error::UnknownHost { .. } => "; --url or PARTWAY_URL is the server's address: is the name right?",
        Error::Untrusted { text, .. } if text.contains("CaUsedAsEndEntity") => {
            "; its certificate is marked as an authority, which a server may not use: make one that is not \
             (openssl req -x509 … -addext basicConstraints=critical,CA:FALSE) and name it with --cacert, or have an \
             authority issue one and name the authority"
        }
        Error::Untrusted { .. } => {
            "; if it is the right server, --cacert FILE trusts the authority (a PEM file) that issued its certificate, \
             and so does SSL_CERT_FILE in the environment"
        }
        Error::Key { .. } => {
            "; --key or PARTWAY_API_KEY sets the key; if it comes from a file with Windows line endings, it ends with a \
             carriage return"
        }
        Error::NoTls { .. } => "; does its address begin with http://, or has it another port?",
        Error::Unexpected { status: 200..300, .. } => "; is --url or PARTWAY_URL the address of a Partway server?",
        Error::NotFound { kind: "folder", .. } => "; `partway folders ls --search NAME` finds folders by name",
        Error::NotFound { .. } => "; `partway files ls --search NAME` finds files by name",
        Error::Target { problem: "is there already", .. } => "; --force overwrites it",
        _ => match error.code() {
            Some(ErrorCode::Unauthorized) => "; --key or PARTWAY_API_KEY must be a key of this server",
            // The message names a revoked key.
            Some(ErrorCode::Forbidden) if !error.to_string().contains("revoked") => {
                "; a private key (sk_…) may do everything in its workspace"
            }
            _ => "",
        },
    }
}

/// Parses a `NAME=VALUE` of the metadata.
pub(crate) fn parse_meta(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

/// The text quoted for a shell, without control characters.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    match text.chars().any(is_obeyed) {
        true => quoted_bytes(text.as_bytes()),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The same of a path. One that begins with a dash is not taken for an option.
pub(crate) fn quoted_path(path: &Path) -> String {
    let prefix = if path.as_os_str().as_encoded_bytes().starts_with(b"-") { "./" } else { "" };
    match path.to_str() {
        Some(text) => quoted(&format!("{prefix}{text}")),
        None => quoted_bytes(&[prefix.as_bytes(), path.as_os_str().as_encoded_bytes()].concat()),
    }
}

/// `$'…'` of bash, zsh and ksh, with bytes outside of printable ASCII escaped.
fn quoted_bytes(bytes: &[u8]) -> String {
    let escaped = bytes.iter().map(|byte| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        byte => format!("\\{byte:03o}"),
    });
    format!("$'{}'", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::process::Command;

    #[test]
    fn a_shell_takes_a_quoted_text_for_what_it_is_and_runs_nothing_of_it() {
        let texts = ["a b", "", "$(touch x)", "`id`", "it's", "a\u{202e}b\n\u{1b}[2J'\\", "ä", "-", "~", "*", "a;b"];
        for text in texts {
            let line = format!("printf %s {}", quoted(text));
            assert!(!line.chars().any(is_obeyed), "{line}");
            let output = Command::new("bash").args(["-c", &line]).output().unwrap();
            assert_eq!(output.stdout, text.as_bytes(), "{line}");
        }
        assert_eq!(quoted_path(Path::new("-rf")), "./-rf");
        let line = format!("printf %s {}", quoted_path(Path::new(OsStr::from_bytes(b"-\xff1"))));
        assert_eq!(Command::new("bash").args(["-c", &line]).output().unwrap().stdout, b"./-\xff1");
    }

    #[test]
    fn a_key_that_goes_over_the_internet_in_clear_is_warned_of() {
        for url in
            ["http://files.example.com", "http://203.0.113.1:8080", "http://[2001:db8::1]/x", "http://100.128.0.1"]
        {
            assert!(public_host_in_clear(url).is_some(), "{url}");
        }
        for url in [
            "https://files.example.com",
            "http://127.0.0.1:8080",
            "http://[::1]",
            "http://localhost",
            "http://192.168.1.5",
            "http://10.0.0.1",
            "http://100.64.0.1",
            "http://[fd00::1]",
            "http://[::ffff:10.0.0.1]",
            "http://partway:8080",
            "http://nas.local",
            "http://nas.home.arpa.",
        ] {
            assert_eq!(public_host_in_clear(url), None, "{url}");
        }
    }
}
