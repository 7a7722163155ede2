//! PgBouncer in front of a PostgreSQL server.

use std::fs;
use std::net::TcpStream;

use crate::postgres::{Postgres, unprivileged};
use crate::watchdog::{Watchdog, free_port, until_started};

/// Where Debian's package puts it, which is not in everybody's PATH.
const PROGRAM: &str = "/usr/sbin/pgbouncer";

/// A pool of connections to one server that lets everyone in.
#[derive(Debug)]
pub struct PgBouncer {
    _server: Watchdog,
    port: u16,
}

impl PgBouncer {
    /// `mode` is `session`, `transaction` or `statement`; `size` is how many connections each database may have.
    pub fn start(postgres: &Postgres, mode: &str, size: u32) -> Self {
        let (_, postgres_port) =
            postgres.address().rsplit_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        until_started(|| {
            let port = free_port();
            let user = rustix::process::geteuid().is_root().then(unprivileged);
            let mut server = Watchdog::new("KILL", &[PROGRAM, "pgbouncer.ini"], user);
            let settings = format!(
                "[databases]\n* = host=127.0.0.1 port={postgres_port} user=partway\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = {size}\n"
            );
            fs::write(server.directory().join("pgbouncer.ini"), settings).unwrap();
            server.start(|_| TcpStream::connect(("127.0.0.1", port)).is_ok())?;
            Ok(Self { _server: server, port })
        })
    }

    /// The URL of a database of the server, through the pool.
    pub fn url(&self, url: &str) -> String {
        let (_, database) = url.rsplit_once('/').expect("a database URL");
        format!("postgres://partway@127.0.0.1:{}/{database}", self.port)
    }
}
