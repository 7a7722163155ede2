//! The properties of the fuzz targets hold for their seeds, among which is every input that ever broke one.

use std::path::{Path, PathBuf};

#[allow(unreachable_pub, reason = "the targets in fuzz/ call it from another crate")]
#[path = "../../../../fuzz/src/lib.rs"]
mod properties;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn names_in(directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(fuzz().join(directory)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn properties_hold_for_every_seed() {
    for (name, _) in properties::TARGETS {
        let seeds: Vec<_> = std::fs::read_dir(fuzz().join("seeds").join(name)).unwrap().collect();
        assert!(!seeds.is_empty(), "{name}");
        for seed in seeds {
            let path = seed.unwrap().path();
            println!("{}", path.display());
            properties::run(name, &std::fs::read(path).unwrap());
        }
    }
}

#[test]
fn every_property_has_a_fuzz_target_and_seeds() {
    let names: Vec<&str> = properties::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names_in("fuzz_targets"), names);
    assert_eq!(names_in("seeds"), names);
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
        let target = std::fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        let expected =
            format!("#![no_main]\n\nlibfuzzer_sys::fuzz_target!(|data: &[u8]| partway_fuzz::run(\"{name}\", data));\n");
        assert_eq!(target, expected, "{name}");
    }
}
