//! Connections to a PostgreSQL that has encryption, with a self-signed certificate, as Debian's packages make it.

use partway_server::db::{DatabaseLocation, Db, workspaces};
use partway_testing::Postgres;

use crate::services::Database;

/// Has a server encrypt its connections from now on, with a self-signed certificate.
pub(crate) fn encrypt(database: &Database) {
    database.execute(
        "COPY (SELECT 1) TO PROGRAM 'openssl req -new -x509 -days 2 -nodes -subj /CN=localhost -out server.crt \
         -keyout server.key 2>/dev/null && chmod 600 server.key'",
    );
    database.execute("ALTER SYSTEM SET ssl = on");
    database.execute("SELECT pg_reload_conf()");
}

#[tokio::test]
async fn encryption_that_the_server_offers_is_used_and_one_that_is_asked_for_is_verified() {
    let server = Postgres::start();
    let url = server.create_database();
    let database = Database::Postgres(url.clone());
    encrypt(&database);
    let open = |url: String| {
        let location = DatabaseLocation::Postgres { url, max_connections: 2 };
        tokio::task::spawn_blocking(move || Db::open(&location))
    };
    let db = open(url.clone()).await.unwrap().unwrap();
    assert_eq!(db.read(workspaces::list).await.unwrap(), []);
    let encrypted = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                     WHERE s.ssl AND a.application_name = 'partway'";
    assert!(database.number(encrypted) > 0);
    let refused = open(format!("{url}?sslmode=require")).await.unwrap().err().unwrap();
    let text = partway_server::error_chain(&refused);
    assert!(text.contains("certificate") && !text.contains(&url), "{text}");
}

/// Makes an authority and a certificate of it for this host in the server's directory; the authority's as text.
fn make_certificate(database: &Database, host: &str) -> String {
    let script = format!(
        "openssl req -x509 -new -days 2 -nodes -subj /CN=Authority -keyout ca.key -out ca.crt 2>/dev/null && \
         openssl req -new -nodes -subj /CN={host} -keyout server.key -out server.csr 2>/dev/null && \
         printf \"subjectAltName=DNS:{host}\" > names && \
         openssl x509 -req -days 2 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile names -out server.crt \
         2>/dev/null && chmod 600 server.key"
    );
    database.execute(&format!("COPY (SELECT 1) TO PROGRAM '{script}'"));
    database.text("SELECT pg_read_file('ca.crt')")
}

#[tokio::test]
async fn a_private_authority_is_known_by_its_file_and_the_host_is_compared_where_it_is_asked_for() {
    for (host, is_for_us) in [("localhost", true), ("elsewhere.example", false)] {
        let server = Postgres::start();
        let url = server.create_database().replace("127.0.0.1", "localhost");
        let database = Database::Postgres(url.clone());
        let directory = tempfile::tempdir().unwrap();
        let (authority, other) = (directory.path().join("ca.pem"), directory.path().join("other.pem"));
        std::fs::write(&other, make_certificate(&database, "other")).unwrap();
        std::fs::write(&authority, make_certificate(&database, host)).unwrap();
        database.execute("ALTER SYSTEM SET ssl = on");
        database.execute("SELECT pg_reload_conf()");
        database.number("SELECT count(*) FROM (SELECT pg_sleep(0.2)) AS s");
        let open = async |parameters: String| {
            let location =
                DatabaseLocation::Postgres { url: format!("{url}?password=hunter2&{parameters}"), max_connections: 2 };
            let opened = tokio::task::spawn_blocking(move || Db::open(&location)).await.unwrap();
            opened.map(drop).map_err(|error| partway_server::error_chain(&error))
        };
        let by = |mode: &str, file: &std::path::Path| format!("sslmode={mode}&sslrootcert={}", file.display());
        assert_eq!(open(by("verify-ca", &authority)).await, Ok(()), "{host}");
        for mode in ["verify-full", "require"] {
            let opened = open(by(mode, &authority)).await;
            assert_eq!(opened.is_ok(), is_for_us, "{mode} {host}: {opened:?}");
        }
        for wrong in [
            by("verify-full", &other),
            by("verify-ca", &other),
            "sslmode=verify-full".to_owned(),
            "sslmode=verify-ca".to_owned(),
        ] {
            let refused = open(wrong.clone()).await.unwrap_err();
            assert!(refused.contains("certificate") && !refused.contains("hunter2"), "{wrong}: {refused}");
        }
        let missing = directory.path().join("missing.pem");
        let refused = open(by("verify-full", &missing)).await.unwrap_err();
        assert!(refused.contains("missing.pem") && refused.contains("cannot be read"), "{refused}");
    }
}
