//! The layers of the database's source, and which of them may import which. `src/db/mod.rs` describes them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// From the bottom up. A layer imports itself and those before it.
const LAYERS: [&str; 4] = ["sql", "engine", "tables", "schema"];

/// The code of a file without its comments and unit tests.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Imports that a file may not have. `path` is relative to `src/db` and begins with the layer.
fn forbidden_imports(path: &str, text: &str) -> BTreeSet<String> {
    let modules: Vec<&str> = path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').collect();
    let floor = LAYERS.iter().position(|layer| *layer == modules[0]).unwrap_or_else(|| panic!("{path} is in no layer"));
    let code = code(text);
    let mut forbidden = BTreeSet::new();
    for after in code.split("crate::db::").skip(1) {
        let name: String = after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let is_below = LAYERS.iter().position(|layer| *layer == name).is_some_and(|imported| imported <= floor);
        if !is_below && !after.starts_with(')') {
            forbidden.insert(format!("{path} imports db::{name}"));
        }
    }
    if code.contains("crate::{") || code.contains("super::{super::") {
        forbidden.insert(format!("{path} imports by a list that this test does not read"));
    }
    let mut rest = code.as_str();
    while let Some(at) = rest.find("super::") {
        rest = &rest[at..];
        let mut climbs = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, climbs) = (after, climbs + 1);
        }
        if climbs >= modules.len() {
            forbidden.insert(format!("{path} leaves its layer"));
        }
    }
    forbidden
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
}

#[test]
fn layers_of_the_database_import_only_what_is_below_them() {
    let db = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/db");
    let mut found = Vec::new();
    files(&db, &mut found);
    assert!(found.len() > 40, "{} files", found.len());
    let mut forbidden = BTreeSet::new();
    for path in found {
        let relative = path.strip_prefix(&db).unwrap().to_str().unwrap();
        if relative != "mod.rs" {
            forbidden.extend(forbidden_imports(relative, &std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert_eq!(forbidden, BTreeSet::new());
}

#[test]
fn an_import_from_above_is_found() {
    for (path, text) in [
        ("sql/tx.rs", "use crate::db::engine::Db;"),
        ("engine/mod.rs", "use crate::db::tables::files;"),
        ("engine/sqlite/mod.rs", "use crate::db::schema::SCHEMA;"),
        ("tables/files/row.rs", "use crate::db::schema;"),
        ("tables/files/row.rs", "use crate::db::files::File;"),
        ("tables/files/row.rs", "use crate::db::{DbError, Tx};"),
        ("tables/usage.rs", "use super::super::sql::Tx;"),
        ("tables/mod.rs", "use super::Tx;"),
        ("tables/files/mod.rs", "fn f(tx: &super::super::Tx<'_>) {}"),
    ] {
        assert_eq!(forbidden_imports(path, text).len(), 1, "{path}: {text}");
    }
    for (path, text) in [
        ("schema/migrate.rs", "use crate::db::sql::Tx; // crate::db::Db"),
        ("tables/files/row.rs", "use crate::db::tables::folders;\nuse crate::db::sql::Row;"),
        ("engine/mod.rs", "pub(in crate::db) fn f() {}\n#[cfg(test)]\nmod tests { use crate::db::schema::SCHEMA; }"),
    ] {
        assert_eq!(forbidden_imports(path, text), BTreeSet::new(), "{path}: {text}");
    }
}
