//! Connections to a PostgreSQL that has encryption, with a certificate that nobody has signed: as Debian's packages make it.

use partway_server::db::{DatabaseLocation, Db, workspaces};
use partway_testing::Postgres;

use crate::services::Database;

#[tokio::test]
async fn encryption_that_the_server_offers_is_used_and_one_that_is_asked_for_is_verified() {
    let server = Postgres::start();
    let url = server.create_database();
    let database = Database::Postgres(url.clone());
    database.execute(
        "COPY (SELECT 1) TO PROGRAM 'openssl req -new -x509 -days 2 -nodes -subj /CN=localhost -out server.crt \
         -keyout server.key 2>/dev/null && chmod 600 server.key'",
    );
    database.execute("ALTER SYSTEM SET ssl = on");
    database.execute("SELECT pg_reload_conf()");
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
