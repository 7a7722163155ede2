//! The record of an earlier upload of a file.

use std::fs;
use std::path::Path;

use super::UploadArgs;
use crate::resume::{Destination, Remembered, ResumeError, state_dir};

/// The record of an upload.
pub(super) enum Recalled {
    /// The upload is not remembered.
    Nothing,
    /// The record of an earlier run, or a new one.
    Upload(Box<Remembered>),
    /// The upload cannot be remembered, and is done all the same.
    NotPossible(ResumeError),
}

impl UploadArgs {
    /// Finds the record of an earlier upload of the file, or writes a new one. The closure blocks.
    pub(super) fn recall(&self, file: &Path) -> impl FnOnce() -> Result<Recalled, ResumeError> + Send + 'static {
        let (file, resume, no_resume) = (file.to_owned(), self.resume.clone(), self.no_resume);
        let destination = Destination {
            server: self.server.url.trim_end_matches('/').to_owned(),
            key_hash: Destination::hash_of_key(&self.server.key),
            name: self.name_of(&file),
            folder: self.folder.clone(),
            tags: self.tags.clone(),
            metadata: self.metadata(),
            custom_id: self.custom_id.clone(),
            random_prefix: self.random_prefix,
        };
        move || {
            let Some(directory) = state_dir() else { return Ok(Recalled::Nothing) };
            if let Some(session) = resume {
                let remembered = match Remembered::of_session(&directory, &session) {
                    Err(error @ ResumeError::State { .. }) => return Ok(Recalled::NotPossible(error)),
                    remembered => remembered?.map(Box::new),
                };
                return Ok(remembered.map_or(Recalled::Nothing, Recalled::Upload));
            }
            // A path that cannot be uploaded is refused later, and an empty file has nothing to resume.
            let has_parts = fs::metadata(&file).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0);
            if no_resume || !has_parts {
                return Ok(Recalled::Nothing);
            }
            match Remembered::open(&directory, &file, destination) {
                Ok(remembered) => Ok(Recalled::Upload(Box::new(remembered))),
                Err(error @ ResumeError::State { .. }) => Ok(Recalled::NotPossible(error)),
                Err(error) => Err(error),
            }
        }
    }
}
