//! The running server against its own description, by Schemathesis, on SQLite and on PostgreSQL. A program of its own, so
//! that nothing else runs at the same time.

use std::path::Path;
use std::process::Command;

use partway_testing::Postgres;

#[test]
fn every_answer_is_one_that_the_document_describes() {
    // scripts/test makes the virtual environment and names its Python.
    let python = std::env::var_os("PARTWAY_SCHEMATHESIS_PYTHON");
    let python = python.unwrap_or_else(|| panic!("PARTWAY_SCHEMATHESIS_PYTHON is not set; run scripts/test"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/schemathesis/run");
    let postgres = Postgres::start();
    let status = Command::new(python)
        .arg(script)
        .env("PARTWAY_BIN", env!("CARGO_BIN_EXE_partway"))
        .env("PARTWAY_TEST_POSTGRES_URL", postgres.create_database())
        .status()
        .unwrap();
    assert!(status.success(), "see above");
}
