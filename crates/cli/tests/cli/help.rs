//! `--help` of every command, as text in `snapshots/`, a file for each command of `partway` with its own commands in it.
//! CONTRIBUTING.md says how a change of them is reviewed and accepted.

use std::collections::BTreeMap;

use crate::manual::commands;
use crate::server::{partway, run, text};

/// Compares `text` with the file of this name. A difference fails, and so does a missing file.
fn assert_text(name: &str, text: &str) {
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn the_help_of_every_command_is_the_reviewed_one() {
    let mut texts = BTreeMap::<String, String>::new();
    for words in commands() {
        let help = text(&run(partway().args(&words).arg("--help")).stdout);
        let called = [&["partway".to_owned()], &words[..]].concat().join(" ");
        let name = words.first().map_or_else(|| "partway".to_owned(), |command| format!("partway_{command}"));
        texts.entry(name).or_default().push_str(&format!("$ {called} --help\n{help}\n"));
    }
    for (name, help) in texts {
        assert_text(&name, &help);
    }
}

/// The pages of other commands are written from the same texts as their help.
#[test]
fn the_manual_page_is_the_reviewed_one() {
    let page = text(&run(partway().arg("man")).stdout);
    assert_text("partway.1", &page.replace(env!("CARGO_PKG_VERSION"), "[version]"));
}
