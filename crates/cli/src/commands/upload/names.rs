//! Names of the files to upload: none twice, and no two with the same path in the workspace.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use super::file_label;
use crate::remote::quoted_path;

/// The files without duplicates, which patterns of a shell may cause. A link with another name is another file. Blocks.
pub(super) fn distinct(files: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    let is_new = |file: &PathBuf| match file.canonicalize() {
        Ok(path) => seen.insert((path, file.file_name().map(ToOwned::to_owned))),
        Err(_) => true,
    };
    files.into_iter().filter(is_new).collect()
}

/// Two files that would have the same path in the workspace, where names are in Unicode's form C.
pub(super) fn same_name(files: &[PathBuf]) -> Option<(&Path, &Path)> {
    let mut seen: HashMap<String, &Path> = HashMap::new();
    files.iter().find_map(|file| {
        let name = file.file_name()?.to_str()?.nfc().collect();
        seen.insert(name, file).map(|first| (first, file.as_path()))
    })
}

/// The refusal of two files with the same path: they are not versions of one file, so neither may replace the other.
pub(super) fn clash(first: &Path, second: &Path, folder: Option<&str>) -> String {
    let name = file_label(second).nfc().collect::<String>();
    let folder = folder.unwrap_or_default().trim_matches('/');
    let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
    let form = if first.file_name() == second.file_name() { "" } else { " (the same name in two forms of Unicode)" };
    format!(
        "partway: nothing was uploaded: {} and {} would both be {path} in the workspace{form}, and the second would \
         replace the first. Upload them by two commands, with another --folder or --name for one of them, or all with \
         --random-prefix.",
        quoted_path(first),
        quoted_path(second)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_arguments_that_would_be_one_file_are_found_and_named() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(same_name(&paths(&["a/x", "b/y", "x.txt", "X"])), None);
        let clashing = paths(&["a/IMG 1.JPG", "c", "b/IMG 1.JPG"]);
        let (first, second) = same_name(&clashing).unwrap();
        let text = clash(first, second, Some("/cam/"));
        assert!(text.contains("'a/IMG 1.JPG' and 'b/IMG 1.JPG' would both be cam/IMG 1.JPG in the"), "{text}");
        let twins = paths(&["caf\u{e9}.txt", "cafe\u{301}.txt"]);
        let (first, second) = same_name(&twins).unwrap();
        assert!(
            clash(first, second, None).contains("would both be caf\u{e9}.txt in the workspace (the same name in two")
        );
    }
}
