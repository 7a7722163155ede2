//! The proxies: each with its file of deploy/, and two caches without one.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use super::proxy::{Change, Proxy, changed, deployed, has_line, write};
use crate::server::run;

/// A program that stands in front of a server.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub name: &'static str,
    pub start: fn(&Front<'_>) -> Proxy,
    /// How curl speaks HTTP/2 to it.
    pub http2: Http2,
    pub stalls: Stalls,
    /// Whether it reads the rest of a body after the answer, for clients that read nothing before they have sent all.
    pub reads_to_the_end: bool,
    /// Requests of which one at least has its whole refusal over HTTP/2.
    pub http2_tries: usize,
}

/// The fate of a client that stalls in the middle of a body.
#[derive(Clone, Copy)]
pub(super) enum Stalls {
    /// Partway ends the request, and the client gets its answer.
    EndedByPartway,
    /// The proxy reads from the client until its own timeout, and answers 408 itself. The changes make that short.
    EndedByProxy(&'static [Change<'static>]),
    /// Partway ends the request, and the proxy goes on waiting for the client.
    Held,
}

#[derive(Clone, Copy)]
pub(super) enum Http2 {
    /// At `Front::tls`.
    OverTls,
    /// At `Front::address`.
    WithoutTls,
}

/// Where a proxy stands, and what is changed in its files.
pub(super) struct Front<'f> {
    /// Where it listens.
    pub address: &'f str,
    /// Where it listens with TLS, if it can.
    pub tls: &'f str,
    pub server: &'f str,
    pub path: PublicPath,
    pub changes: &'f [Change<'f>],
}

/// The path of the public URL, and what the proxy does with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum PublicPath {
    None,
    /// `/files` stays in requests.
    Kept,
    /// `/files` is stripped from requests.
    Stripped,
}

pub(super) const NGINX: Kind = Kind {
    name: "nginx",
    start: nginx,
    http2: Http2::OverTls,
    stalls: Stalls::EndedByPartway,
    reads_to_the_end: true,
    http2_tries: 3,
};
pub(super) const CADDY: Kind = Kind {
    name: "Caddy",
    start: caddy,
    http2: Http2::OverTls,
    stalls: Stalls::Held,
    reads_to_the_end: false,
    http2_tries: 20,
};
pub(super) const HAPROXY: Kind = Kind {
    name: "HAProxy",
    start: haproxy,
    http2: Http2::OverTls,
    stalls: Stalls::EndedByPartway,
    reads_to_the_end: true,
    http2_tries: 3,
};
pub(super) const APACHE: Kind = Kind {
    name: "Apache",
    start: apache,
    http2: Http2::OverTls,
    stalls: Stalls::EndedByProxy(&[("Timeout 75", "Timeout 10")]),
    reads_to_the_end: true,
    http2_tries: 3,
};
/// The same file without the settings that keep paths as they are.
pub(super) const APACHE_THAT_REWRITES: Kind =
    Kind { name: "Apache without nocanon", start: apache_that_rewrites, ..APACHE };
pub(super) const VARNISH: Kind = Kind {
    name: "Varnish",
    start: varnish,
    http2: Http2::WithoutTls,
    stalls: Stalls::EndedByPartway,
    reads_to_the_end: true,
    http2_tries: 3,
};
/// Caches as their manuals show them: with nothing but a backend, and keeping all they may.
pub(super) const BARE_VARNISH: Kind = Kind {
    name: "bare Varnish",
    start: bare_varnish,
    http2: Http2::WithoutTls,
    stalls: Stalls::EndedByPartway,
    reads_to_the_end: true,
    http2_tries: 3,
};
pub(super) const NGINX_CACHE: Kind = Kind {
    name: "nginx as a cache",
    start: nginx_cache,
    http2: Http2::WithoutTls,
    stalls: Stalls::EndedByPartway,
    reads_to_the_end: true,
    http2_tries: 3,
};

/// The files of deploy/nginx, with the relevant settings of Debian's nginx.conf.
const NGINX_DEPLOYED: &str = "
    gzip on;
    include partway.conf;
";
const NGINX_CACHING: &str = "
    access_log access.log;
    proxy_cache_path cache keys_zone=all:1m;
    server {
        listen ADDRESS;
        location / {
            proxy_pass http://SERVER;
            proxy_cache all;
            proxy_cache_valid any 10m;
            add_header x-cache $upstream_cache_status always;
        }
    }
";
const VARNISH_BACKEND: &str = "vcl 4.1;
backend partway { .host = \"HOST\"; .port = \"PORT\"; }
";
/// Marks answers from its cache.
const VARNISH_MARKS: &str = "
sub vcl_deliver {
    if (obj.hits > 0) { set resp.http.x-cache = \"HIT\"; } else { set resp.http.x-cache = \"MISS\"; }
}
";
/// Settings of Caddy in addition to deploy/caddy.
const CADDY_MAIN: &str = "{
	admin off
	auto_https disable_redirects
}
";
/// Settings of Debian's Apache that matter: its modules for text, and for bodies that stall. The rest is where it may write.
const APACHE_MAIN: &str = "
ServerRoot DIRECTORY
PidFile DIRECTORY/apache.pid
DefaultRuntimeDir DIRECTORY
Mutex pthread
User nobody
Group nogroup
ServerName localhost
ErrorLog DIRECTORY/error.log
Listen ADDRESS
Listen TLS
MODULES
RequestReadTimeout header=20-40,minrate=500
RequestReadTimeout body=10,minrate=500
AddOutputFilterByType DEFLATE text/html text/plain text/xml text/css text/javascript application/json
Include DIRECTORY/plain.conf
Include DIRECTORY/tls.conf
";
const APACHE_MODULES: [&str; 10] =
    ["mpm_event", "authz_core", "proxy", "proxy_http", "reqtimeout", "filter", "deflate", "env", "ssl", "http2"];

/// `cert.pem` and `key.pem` for 127.0.0.1, and both in `both.pem`.
static CERTIFICATE: LazyLock<TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem";
    let request =
        format!("req -x509 {key} -out cert.pem -days 30 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1");
    run(Command::new("openssl").args(request.split(' ')).current_dir(directory.path()));
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    write(&directory, "both.pem", &(read("cert.pem") + &read("key.pem")));
    directory
});

fn certificate(name: &str) -> PathBuf {
    CERTIFICATE.path().join(name)
}

/// Changes of everybody, then those of the test.
fn all<'c>(own: &[Change<'c>], front: &Front<'c>) -> Vec<Change<'c>> {
    own.iter().chain(front.changes).copied().collect()
}

fn nginx(front: &Front<'_>) -> Proxy {
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = (certificate("cert.pem"), certificate("key.pem"));
    let tls = format!(
        "listen {} ssl http2; ssl_certificate {}; ssl_certificate_key {};",
        front.tls,
        cert.display(),
        key.display()
    );
    let (listen, upstream) = (format!("listen {}; {tls}", front.address), format!("server {};", front.server));
    let mut own = vec![
        ("listen 80;", listen.as_str()),
        ("server 127.0.0.1:8080;", &upstream),
        ("access_log /var/log/nginx/partway.log partway;", "access_log access.log partway;"),
    ];
    if front.path != PublicPath::None {
        own.push(("location / {", "location /files/ {"));
    }
    if front.path == PublicPath::Stripped {
        own.push(("proxy_pass http://partway;", "proxy_pass http://partway/;"));
    }
    // Each setting is in one of the two files.
    let all = all(&own, front);
    let changes =
        |file: &str| -> Vec<Change<'_>> { all.iter().copied().filter(|(line, _)| has_line(file, line)).collect() };
    let (site, settings) = (deployed("nginx/partway.conf"), deployed("nginx/partway-proxy.conf"));
    write(&directory, "partway.conf", &changed(&site, &changes(&site)));
    write(&directory, "snippets/partway-proxy.conf", &changed(&settings, &changes(&settings)));
    Proxy::start_nginx(directory, front.address, NGINX_DEPLOYED)
}

fn nginx_cache(front: &Front<'_>) -> Proxy {
    let site = NGINX_CACHING.replace("ADDRESS", front.address).replace("SERVER", front.server);
    Proxy::start_nginx(tempfile::tempdir().unwrap(), front.address, &site)
}

fn caddy(front: &Front<'_>) -> Proxy {
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = (certificate("cert.pem"), certificate("key.pem"));
    let file = deployed("caddy/Caddyfile");
    let upstream = format!("reverse_proxy {}", front.server);
    // One site for each address: TLS is set for the second one.
    let site = |head: &str| {
        let mut own = vec![("files.example.com {", head), ("reverse_proxy 127.0.0.1:8080", &upstream)];
        match front.path {
            PublicPath::None => {}
            PublicPath::Kept => own.push(("handle /* {", "handle /files/* {")),
            PublicPath::Stripped => own.push(("handle /* {", "handle_path /files/* {")),
        }
        changed(&file, &all(&own, front))
    };
    let plain = site(&format!("http://{} {{\nbind 127.0.0.1", front.address));
    let tls = site(&format!("https://{} {{\nbind 127.0.0.1\ntls {} {}", front.tls, cert.display(), key.display()));
    write(&directory, "Caddyfile", &format!("{CADDY_MAIN}{plain}\n{tls}\n"));
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(directory.path().join("Caddyfile"));
    Proxy::start(command, directory, front.address)
}

fn haproxy(front: &Front<'_>) -> Proxy {
    let directory = tempfile::tempdir().unwrap();
    let tls = format!("bind {} ssl crt {} alpn h2,http/1.1", front.tls, certificate("both.pem").display());
    let (bind, upstream) = (format!("bind {}\n{tls}", front.address), format!("server partway1 {}", front.server));
    let stripped = format!("http-request replace-path ^/files/(.*) /\\1\n{upstream}");
    let mut own = vec![
        ("log /dev/log local0", "log stdout format raw local0"),
        // As many descriptors as a test may have.
        ("maxconn 10000", "maxconn 200"),
        ("bind :80", bind.as_str()),
        ("server partway1 127.0.0.1:8080", if front.path == PublicPath::Stripped { &stripped } else { &upstream }),
    ];
    if front.path != PublicPath::None {
        own.push(("use_backend partway", "use_backend partway if { path_beg /files/ }"));
    }
    write(&directory, "haproxy.cfg", &changed(&deployed("haproxy/haproxy.cfg"), &all(&own, front)));
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(directory.path().join("haproxy.cfg"));
    Proxy::start(command, directory, front.address)
}

fn apache(front: &Front<'_>) -> Proxy {
    start_apache(front, &deployed("apache/partway.conf"))
}

fn apache_that_rewrites(front: &Front<'_>) -> Proxy {
    let mut file = deployed("apache/partway.conf");
    for (setting, instead) in
        [(" nocanon connectiontimeout=", " connectiontimeout="), ("\n    AllowEncodedSlashes NoDecode\n", "\n")]
    {
        assert!(file.contains(setting), "{setting:?} is not in {file}");
        file = file.replace(setting, instead);
    }
    start_apache(front, &file)
}

fn start_apache(front: &Front<'_>, file: &str) -> Proxy {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    let (cert, key) = (certificate("cert.pem"), certificate("key.pem"));
    let pass = match front.path {
        PublicPath::None => format!("ProxyPass \"/\" \"http://{}/\"", front.server),
        PublicPath::Kept => format!("ProxyPass \"/files/\" \"http://{}/files/\"", front.server),
        PublicPath::Stripped => format!("ProxyPass \"/files/\" \"http://{}/\"", front.server),
    };
    let log = format!("CustomLog {path}/access.log");
    // One site for each address: TLS is set for the second one.
    let site = |head: &str| {
        let own = [
            ("<VirtualHost *:80>", head),
            ("CustomLog /var/log/apache2/partway.log", &log),
            ("ProxyPass \"/\" \"http://127.0.0.1:8080/\"", &pass),
        ];
        changed(file, &all(&own, front))
    };
    let tls = format!(
        "<VirtualHost {}>\nSSLEngine on\nSSLCertificateFile {}\nSSLCertificateKeyFile {}\nProtocols h2 http/1.1",
        front.tls,
        cert.display(),
        key.display()
    );
    write(&directory, "plain.conf", &site(&format!("<VirtualHost {}>", front.address)));
    write(&directory, "tls.conf", &site(&tls));
    let modules =
        APACHE_MODULES.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
    let main = APACHE_MAIN
        .replace("DIRECTORY", &path)
        .replace("ADDRESS", front.address)
        .replace("TLS", front.tls)
        .replace("MODULES", &modules.concat());
    write(&directory, "apache2.conf", &main);
    let mut command = Command::new("apache2");
    // One process, which leaves none when it is killed.
    command.args(["-X", "-f"]).arg(directory.path().join("apache2.conf"));
    Proxy::start(command, directory, front.address)
}

fn varnish(front: &Front<'_>) -> Proxy {
    let (host, port) = front.server.split_once(':').unwrap();
    let (host, port) = (format!(".host = \"{host}\""), format!(".port = \"{port}\""));
    let own = [(".host = \"127.0.0.1\"", host.as_str()), (".port = \"8080\"", &port)];
    let vcl = changed(&deployed("varnish/partway.vcl"), &all(&own, front));
    // Its subroutines come first: one of the same name is added to them.
    start_varnish(front, &format!("{vcl}{VARNISH_MARKS}"))
}

fn bare_varnish(front: &Front<'_>) -> Proxy {
    let (host, port) = front.server.split_once(':').unwrap();
    let backend = VARNISH_BACKEND.replace("HOST", host).replace("PORT", port);
    start_varnish(front, &format!("{backend}{VARNISH_MARKS}"))
}

fn start_varnish(front: &Front<'_>, vcl: &str) -> Proxy {
    let directory = tempfile::tempdir().unwrap();
    write(&directory, "varnish.vcl", vcl);
    let path = directory.path();
    let mut command = Command::new("varnishd");
    command.args(["-F", "-j", "none", "-a", front.address, "-s", "malloc,64m", "-p", "feature=+http2"]);
    command
        .args(["-p", "backend_idle_timeout=30", "-s", "Transient=malloc,64m", "-f"])
        .arg(path.join("varnish.vcl"))
        .arg("-n")
        .arg(path.join("work"));
    Proxy::start(command, directory, front.address)
}
