//! PostgreSQL as it is found and as it changes: roles with settings of their own, servers that are demoted and promoted,
//! pools in front, databases that cannot be used.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use partway_server::config::DatabaseUrl;
use partway_server::db::{DatabaseLocation, Db};
use partway_testing::{PgBouncer, Postgres};
use reqwest::Method;
use serde_json::json;

use crate::app::TestApp;
use crate::services::{Database, Services, postgres};

const ON_POSTGRES: Services = Services { postgres: true, s3: false };

/// Starts this many uploads, sixteen at a time; returns the number of answers of each status.
async fn starts(app: &TestApp, number: usize) -> Vec<u16> {
    let start = |index: usize| async move {
        let body = json!({"file_name": format!("{index}.bin"), "size": 1, "format": "bin"});
        app.post("/api/v1/multipart/start", &body).await.status().as_u16()
    };
    stream::iter(0..number).map(start).buffer_unordered(16).collect().await
}

async fn open(url: String) -> Result<Db, String> {
    let location = DatabaseLocation::Postgres { url, max_connections: 4 };
    let opened = tokio::task::spawn_blocking(move || Db::open(&location)).await.unwrap();
    opened.map_err(|error| partway_server::error_chain(&error))
}

#[tokio::test]
async fn every_upload_succeeds_with_every_isolation_of_the_role() {
    for isolation in ["serializable", "repeatable read"] {
        let role = format!("role_{}", uuid::Uuid::new_v4().simple());
        postgres().sql(&format!("CREATE ROLE {role} LOGIN SUPERUSER"));
        postgres().sql(&format!("ALTER ROLE {role} SET default_transaction_isolation = '{isolation}'"));
        let app = TestApp::start_on(ON_POSTGRES, |config| {
            let url = config.database.url.as_mut().unwrap();
            *url = DatabaseUrl::new(url.as_str().replace("partway@", &format!("{role}@")));
        })
        .await;
        let statuses = starts(&app, 200).await;
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 200, "{isolation}: {statuses:?}");
    }
}

/// One address that forwards to the server it is switched to. Connections stay where they are.
struct Switch {
    address: SocketAddr,
    target: Arc<Mutex<String>>,
}

impl Switch {
    fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(target));
        let current = Arc::clone(&target);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(current.lock().unwrap().as_str()) else { continue };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || pass(client, server));
                std::thread::spawn(move || pass(to, from));
            }
        });
        Self { address, target }
    }

    fn switch(&self, target: String) {
        *self.target.lock().unwrap() = target;
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _: io::Result<()> = to.shutdown(Shutdown::Both);
}

/// The status of a start and of `/readyz`. A start that is refused says when to come again.
async fn writes_and_ready(app: &TestApp) -> (u16, u16) {
    let body = json!({"file_name": "f.bin", "size": 1, "format": "bin"});
    let answer = app.post("/api/v1/multipart/start", &body).await;
    let status = answer.status().as_u16();
    assert!(matches!(status, 201 | 503), "{status}: {:?}", answer.text().await);
    assert!(status == 201 || answer.headers().contains_key("retry-after"));
    (status, app.get(&app.url("/readyz")).await.status().as_u16())
}

async fn until(app: &TestApp, what: &str, wanted: (u16, u16)) {
    let began = Instant::now();
    loop {
        let found = writes_and_ready(app).await;
        if found == wanted {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{what}: {found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_server_that_was_demoted_is_left_and_the_promoted_one_found() {
    let primary = Postgres::start();
    let url = primary.create_database();
    let (_, name) = url.rsplit_once('/').unwrap();
    let standby = Postgres::start_standby_of(&primary);
    let switch = Switch::to(primary.address());
    let mut app = TestApp::start_on(ON_POSTGRES, |config| {
        config.database.url = Some(DatabaseUrl::new(format!("postgres://partway@{}/{name}", switch.address)));
    })
    .await;
    app.database = Database::Postgres(url.clone());
    until(&app, "the primary takes writes", (201, 200)).await;
    let sessions = app.count("sessions");
    let copied = Database::Postgres(standby.url(name));
    let began = Instant::now();
    while copied.number("SELECT count(*) FROM sessions") < sessions {
        assert!(began.elapsed() < Duration::from_secs(60), "the standby does not follow");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    primary.sql("ALTER SYSTEM SET default_transaction_read_only = on");
    primary.sql("SELECT pg_reload_conf()");
    until(&app, "the demoted server is noticed", (503, 503)).await;
    assert_eq!(app.request(Method::GET, "/api/v1/files").send().await.unwrap().status(), 200);

    switch.switch(standby.address());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(writes_and_ready(&app).await, (503, 503), "a standby takes no writes");

    standby.sql("SELECT pg_promote()");
    app.database = copied;
    until(&app, "the promoted server takes writes", (201, 200)).await;
    assert!(app.count("sessions") > sessions, "the writes are not on the promoted server");
    let statuses = starts(&app, 50).await;
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
}

/// A server that asks the role `app` for a password and lets everybody else in; a database of that role, and its URL with the
/// password and as the superuser.
fn with_role() -> (Postgres, String, String) {
    let server = Postgres::start();
    let superuser = server.create_database();
    let (_, name) = superuser.rsplit_once('/').unwrap();
    server.sql("CREATE ROLE app LOGIN PASSWORD 'hunter2'");
    server.sql(&format!("ALTER DATABASE {name} OWNER TO app"));
    Database::Postgres(superuser.clone()).execute(
        "COPY (VALUES ('host all app 127.0.0.1/32 scram-sha-256'), ('host all all 127.0.0.1/32 trust')) \
         TO PROGRAM 'cat > pg_hba.conf'",
    );
    server.sql("SELECT pg_reload_conf()");
    let url = superuser.replace("partway@", "app:hunter2@");
    (server, url, superuser)
}

#[tokio::test]
async fn a_role_password_database_or_right_that_is_taken_away_while_the_server_runs_is_a_503_and_comes_back() {
    let (server, url, superuser) = with_role();
    let mut app =
        TestApp::start_on(ON_POSTGRES, |config| config.database.url = Some(DatabaseUrl::new(url.clone()))).await;
    app.database = Database::Postgres(superuser.clone());
    let (_, name) = superuser.rsplit_once('/').unwrap();
    let kick = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
    until(&app, "it takes uploads", (201, 200)).await;
    let close = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false");
    let open = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true");
    let (rename, back) =
        (format!("ALTER DATABASE {name} RENAME TO gone"), format!("ALTER DATABASE gone RENAME TO {name}"));
    let revoke = format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC, app");
    let grant = format!("GRANT ALL ON DATABASE {name} TO PUBLIC, app");
    for (what, faults, cure) in [
        ("the password", vec!["ALTER ROLE app PASSWORD 'other'", kick], vec!["ALTER ROLE app PASSWORD 'hunter2'"]),
        ("the role", vec!["ALTER ROLE app NOLOGIN", kick], vec!["ALTER ROLE app LOGIN"]),
        ("the database", vec![&*close, kick], vec![&*open]),
        ("the name", vec![&*close, kick, &*rename], vec![&*back, &*open]),
        ("the right to connect", vec![&*revoke, kick], vec![&*grant]),
    ] {
        faults.iter().for_each(|statement| server.sql(statement));
        until(&app, &format!("{what} is missed"), (503, 503)).await;
        cure.iter().for_each(|statement| server.sql(statement));
        until(&app, &format!("{what} is back"), (201, 200)).await;
    }
    for (fault, cure) in [
        ("REVOKE INSERT ON sessions FROM app", "GRANT INSERT ON sessions TO app"),
        ("ALTER TABLE sessions RENAME TO hidden", "ALTER TABLE hidden RENAME TO sessions"),
        ("ALTER SCHEMA public RENAME TO hidden", "ALTER SCHEMA hidden RENAME TO public"),
    ] {
        app.sql(fault);
        until(&app, fault, (503, 503)).await;
        app.sql(cure);
        until(&app, cure, (201, 200)).await;
    }
}

#[tokio::test]
async fn a_password_that_was_changed_leaves_the_connections_that_are_there() {
    let (server, url, superuser) = with_role();
    let mut app = TestApp::start_on(ON_POSTGRES, |config| config.database.url = Some(DatabaseUrl::new(url))).await;
    app.database = Database::Postgres(superuser);
    assert_eq!(writes_and_ready(&app).await, (201, 200));
    server.sql("ALTER ROLE app PASSWORD 'other'");
    let statuses = starts(&app, 100).await;
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
}

#[tokio::test]
async fn a_pool_by_session_works_however_small_and_one_by_transaction_or_statement_is_refused_in_words() {
    for mode in ["transaction", "statement"] {
        for size in [1, 20] {
            let pool = PgBouncer::start(postgres(), mode, size);
            let url = pool.url(&postgres().create_database());
            let refused = open(url).await.err().unwrap();
            assert!(
                refused.contains("pool_mode = session") && refused.contains("PgBouncer"),
                "{mode} {size}: {refused}"
            );
        }
    }
    for size in [20, 3] {
        let mut pool = None;
        let app = TestApp::start_on(ON_POSTGRES, |config| {
            let url = config.database.url.clone().unwrap();
            let through = pool.insert(PgBouncer::start(postgres(), "session", size)).url(url.as_str());
            config.database.url = Some(DatabaseUrl::new(through));
            config.database.max_connections = 16;
        })
        .await;
        let statuses = starts(&app, 100).await;
        assert!(statuses.iter().all(|status| *status == 201), "a pool of {size}: {statuses:?}");
    }
    let pool = PgBouncer::start(postgres(), "session", 1);
    let refused = open(pool.url(&postgres().create_database())).await.err().unwrap();
    assert!(refused.contains("has none left") && refused.contains("database.max_connections (4)"), "{refused}");
}

#[tokio::test]
async fn a_second_server_with_its_own_disk_is_refused_until_the_first_has_gone() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = partway_server::Config::with_data_dir(ours.path());
    first.storage.reserve = false;
    let database = ON_POSTGRES.configure(&mut first, ours.path());
    let mut second = first.clone();
    second.storage.data_dir = theirs.path().to_owned();
    let open = async |config: &partway_server::Config| {
        let opened = partway_server::App::open(config.clone(), "127.0.0.1:1".parse().unwrap()).await;
        opened.map(|(app, _)| app).map_err(|error| partway_server::error_chain(&error))
    };
    let is_refused = |opened: Result<partway_server::App, String>| {
        let refused = opened.err().unwrap();
        assert!(refused.contains("storage.single_node = true") && refused.contains("30 s"), "{refused}");
    };
    let leases = || database.number("SELECT count(*) FROM leases WHERE name = 'single node'");

    let serving = open(&first).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(partway_server::run(serving, listener, stop.clone()));
    is_refused(open(&second).await);
    stop.cancel();
    running.await.unwrap();
    assert_eq!(leases(), 0, "an orderly stop gives it up");

    // A process that ends without a word leaves its lease: it keeps others out until it runs out, and nobody who starts
    // again on the same directory.
    drop(open(&second).await.unwrap());
    assert_eq!(leases(), 1);
    is_refused(open(&first).await);
    drop(open(&second).await.unwrap());
    database.execute("UPDATE leases SET expires_at = 0 WHERE name = 'single node'");
    drop(open(&first).await.unwrap());
    is_refused(open(&second).await);
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_refused_in_words() {
    let role = |settings: &str| {
        let role = format!("role_{}", uuid::Uuid::new_v4().simple());
        postgres().sql(&format!("CREATE ROLE {role} LOGIN"));
        if !settings.is_empty() {
            postgres().sql(&format!("ALTER ROLE {role} {settings}"));
        }
        role
    };
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("other_{}", encoding.to_lowercase());
        postgres().sql(&format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"));
        let refused = open(postgres().url(&name)).await.err().unwrap();
        assert!(refused.contains(encoding) && refused.contains("allowed: UTF8"), "{refused}");
    }
    let url = postgres().create_database();
    let refused = open(url.replace("partway@", &format!("{}@", role("")))).await.err().unwrap();
    assert!(refused.contains("lacks a right") && refused.contains("permission denied"), "{refused}");
    let read_only = role("SUPERUSER");
    postgres().sql(&format!("ALTER ROLE {read_only} SET default_transaction_read_only = on"));
    let refused = open(url.replace("partway@", &format!("{read_only}@"))).await.err().unwrap();
    assert!(refused.contains("takes no writes") && refused.contains("default_transaction_read_only"), "{refused}");
    let standby = Postgres::start_standby_of(postgres());
    let refused = open(standby.url("postgres")).await.err().unwrap();
    assert!(refused.contains("takes no writes") && refused.contains("standby"), "{refused}");
}
