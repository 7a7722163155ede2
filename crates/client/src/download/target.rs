//! The target of a download: whether it may be written, and giving it the whole file.

use std::fs;
use std::io;
use std::path::Path;

use crate::{Error, local_files};

/// The problem of a target that may not be overwritten.
const IS_THERE: &str = "is there already";

/// Refuses a target that cannot be written, before the first request.
pub(super) fn check(target: &Path, overwrite: bool) -> Result<(), Error> {
    let unfit = |problem| Err(Error::Target { path: target.to_owned(), problem });
    if target.file_name().is_none() {
        return unfit("is not a file name");
    }
    match fs::metadata(target) {
        Ok(there) if !there.is_file() => unfit("is there already and is not a file"),
        Ok(_) if !overwrite => unfit(IS_THERE),
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::File { path: target.to_owned(), source }),
        _ => Ok(()),
    }
}

/// Renames the file at `from` to the target. Without `overwrite`, a file that appeared there in the meantime stays.
pub(super) fn take_name(from: &Path, target: &Path, overwrite: bool) -> Result<(), Error> {
    let renamed = match overwrite {
        true => fs::rename(from, target),
        false => local_files::rename_to_free_name(from, target),
    };
    renamed.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists if !overwrite => Error::Target { path: target.to_owned(), problem: IS_THERE },
        _ => Error::File { path: target.to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_free_name_or_a_file_that_may_be_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("f");
        check(&target, false).unwrap();
        fs::write(&target, "old").unwrap();
        check(&target, true).unwrap();
        for (target, overwrite, problem) in [
            (target.as_path(), false, "is there already"),
            (directory.path(), true, "is not a file"),
            (Path::new("/"), true, "not a file name"),
            (Path::new(".."), true, "not a file name"),
        ] {
            let error = check(target, overwrite).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_file_that_came_between_the_check_and_the_rename_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (part, target) = (directory.path().join("part"), directory.path().join("f"));
        fs::write(&part, "new").unwrap();
        fs::write(&target, "old").unwrap();
        assert!(take_name(&part, &target, false).unwrap_err().to_string().ends_with("f is there already"));
        assert_eq!((fs::read(&target).unwrap(), fs::read(&part).unwrap()), (b"old".to_vec(), b"new".to_vec()));
        take_name(&part, &target, true).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
    }
}
