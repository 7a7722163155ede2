//! The URL of a PostgreSQL server in libpq's form: settings for the client library, and the check of the server's certificate, which
//! the library does not know.
//!
//! Invariant: no text that is shown of a URL, valid or not, has any part of its password.

use std::fmt;
use std::path::PathBuf;

use postgres::Config;
use postgres::config::{Host, SslMode};

/// Parameters for the client library.
const LIBRARY_PARAMETERS: [&str; 17] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
];

/// How much of the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// No check: keeps out listeners, but not a man in the middle.
    Nothing,
    /// A trusted authority has signed it.
    Authority,
    /// The same, and it is for the host of the URL.
    AuthorityAndHost,
}

/// A server: the settings of connections and the check of its certificate.
#[derive(Clone)]
pub(super) struct ServerUrl {
    pub(super) config: Config,
    pub(super) check: Check,
    /// File of the trusted authorities; `None` for those of the system.
    pub(super) authorities: Option<PathBuf>,
}

impl ServerUrl {
    /// Reads `postgres://…`. The error is the end of a sentence about the URL.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let scheme = ["postgres://", "postgresql://"].into_iter().find(|scheme| url.starts_with(scheme));
        let Some(scheme) = scheme else { return Err(MALFORMED.to_owned()) };
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        // A host and a path have no `@`: it would belong to a password with unescaped characters, which would be split wrongly.
        let (_, location) = base[scheme.len()..].split_once('@').unwrap_or(("", &base[scheme.len()..]));
        if location.contains(['@', '#']) || base[scheme.len()..].contains('#') || query.contains(['@', '#']) {
            return Err(UNESCAPED.to_owned());
        }
        let (mut ssl_mode, mut authorities, mut handed_on) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "sslmode" => ssl_mode = Some(decoded(value)?),
                "sslrootcert" => authorities = Some(decoded(value)?),
                name if LIBRARY_PARAMETERS.contains(&name) || name == "load_balance_hosts" => handed_on.push(pair),
                name => return Err(unknown(name)),
            }
        }
        let with_rest = format!("{base}?{}", handed_on.join("&"));
        let mut config: Config = with_rest.parse().map_err(|_| match wrong_parameter(base, &handed_on) {
            Some(name) => format!("has the parameter `{name}` with a value that is not allowed"),
            None => MALFORMED.to_owned(),
        })?;
        let (mode, check) = match ssl_mode.as_deref() {
            Some("disable") => (SslMode::Disable, Check::Nothing),
            None | Some("prefer") => (SslMode::Prefer, Check::Nothing),
            Some("verify-ca") => (SslMode::Require, Check::Authority),
            Some("require" | "verify-full") => (SslMode::Require, Check::AuthorityAndHost),
            Some(_) => {
                return Err(
                    "has an `sslmode` that is not allowed; allowed: `disable`, `prefer`, `require`, `verify-ca`, \
                            `verify-full`"
                        .to_owned(),
                );
            }
        };
        if authorities.is_some() && check == Check::Nothing {
            return Err("has `sslrootcert`, which its `sslmode` does not use; allowed: with `sslmode=verify-full` or \
                        `sslmode=verify-ca`"
                .to_owned());
        }
        config.ssl_mode(mode);
        let authorities = authorities.filter(|path| path != "system").map(PathBuf::from);
        Ok(Self { config, check, authorities })
    }
}

const MALFORMED: &str = "is not a URL such as `postgres://user:password@host:5432/database`";
const UNESCAPED: &str = "has an unescaped `@` or `#`; allowed: `%40` and `%23`, as well as `%2F` for `/`, `%3F` for `?` and \
                         `%25` for `%`, in the user's name and the password";

/// Shows the server, its user and its database, and nothing that may be secret.
impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            f.write_str(if index > 0 { "," } else { "" })?;
            match host {
                Host::Tcp(name) => f.write_str(name)?,
                Host::Unix(path) => write!(f, "{}", path.display())?,
            }
            let ports = self.config.get_ports();
            if let Some(port) = ports.get(index).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

/// The reason why the text is not the URL of a server: the end of a sentence, without any part of the password.
pub(crate) fn problem_of(url: &str) -> Option<String> {
    ServerUrl::parse(url).err()
}

/// Name of a parameter whose value the client library refuses.
fn wrong_parameter<'p>(base: &str, parameters: &[&'p str]) -> Option<&'p str> {
    base.parse::<Config>().ok()?;
    let wrong = parameters.iter().find(|pair| format!("{base}?{pair}").parse::<Config>().is_err())?;
    Some(wrong.split('=').next().unwrap_or(wrong))
}

/// Describes an unknown parameter. Its name is shown only if it can be one: after an unescaped `?` it may be part of a password.
fn unknown(name: &str) -> String {
    let is_name =
        !name.is_empty() && name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let named = if is_name { format!("`{name}`") } else { "with a name that is not shown".to_owned() };
    format!(
        "has the parameter {named}, which Partway does not know; allowed: sslmode, sslrootcert, load_balance_hosts, {}",
        LIBRARY_PARAMETERS.join(", ")
    )
}

fn decoded(value: &str) -> Result<String, String> {
    let text = percent_encoding::percent_decode_str(value).decode_utf8();
    text.map(std::borrow::Cow::into_owned).map_err(|_| MALFORMED.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Check, ServerUrl, problem_of};

    fn parse(url: &str) -> ServerUrl {
        ServerUrl::parse(url).unwrap_or_else(|problem| panic!("{url}: {problem}"))
    }

    #[test]
    fn every_mode_checks_what_it_says() {
        for (mode, check) in [
            ("", Check::Nothing),
            ("?sslmode=disable", Check::Nothing),
            ("?sslmode=prefer", Check::Nothing),
            ("?sslmode=require", Check::AuthorityAndHost),
            ("?sslmode=verify-full", Check::AuthorityAndHost),
            ("?sslmode=verify-ca", Check::Authority),
        ] {
            assert_eq!(parse(&format!("postgres://u:p@h/db{mode}")).check, check, "{mode}");
        }
        let url = parse("postgresql://u@h:5/db?application_name=x&sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem");
        assert_eq!(url.authorities.as_deref(), Some(std::path::Path::new("/etc/ca.pem")));
        assert_eq!((url.config.get_application_name(), url.to_string().as_str()), (Some("x"), "postgres://u@h:5/db"));
        assert_eq!(parse("postgres://h/db?sslmode=verify-ca&sslrootcert=system").authorities, None);
    }

    #[test]
    fn a_parameter_that_is_wrong_is_named() {
        for (query, part) in [
            ("pgbouncer=true", "`pgbouncer`"),
            ("schema=public", "`schema`"),
            ("sslcert=x", "`sslcert`"),
            ("sslmode=allow", "`sslmode`"),
            ("sslrootcert=/x", "`sslrootcert`"),
            ("sslmode=prefer&sslrootcert=/x", "`sslrootcert`"),
            ("connect_timeout=soon", "`connect_timeout`"),
            ("target_session_attrs=primary", "`target_session_attrs`"),
        ] {
            let problem = problem_of(&format!("postgres://u:hunter2@h/db?{query}")).unwrap();
            assert!(problem.contains(part) && !problem.contains("hunter2"), "{query}: {problem}");
        }
    }

    #[test]
    fn no_part_of_a_password_is_shown() {
        for url in [
            "postgres://u:hunter2@h/db",
            "postgres://u:hunter2/hunter2@h/db",
            "postgres://u:12/hunter2@h/db",
            "postgres://u:12?hunter2=hunter2@h/db",
            "postgres://u:12?hunter2@h/db",
            "postgres://u:12#hunter2@h/db",
            "postgres://u:hunter2@hunter2@h/db",
            "postgres://u:%68unter2@h/db?hunter2%40=1",
            "postgres://u@h/db?password=hunter2",
            "postgres://u@h/db?password=hunter2&x=y",
            "postgres://u@h,i/db?password=hunter2&port=hunter2",
            "postgres://u:hunter2@h:port/db",
            "host=h user=u password=hunter2",
            "hunter2",
            "mysql://u:hunter2@h/db",
        ] {
            let shown = match ServerUrl::parse(url) {
                Ok(url) => url.to_string(),
                Err(problem) => problem,
            };
            assert!(!shown.contains("hunter2") && !shown.contains("12"), "{url}: {shown}");
        }
        assert_eq!(parse("postgres://u:%68unter2@h/db").to_string(), "postgres://u@h:5432/db");
        assert_eq!(parse("postgres://u@a:1,b:2/db?password=x").to_string(), "postgres://u@a:1,b:2/db");
    }
}
