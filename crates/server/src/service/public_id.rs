//! Public numbers of workspaces, files and folders: 10 random characters.

use rand::RngExt;

use crate::db::DbError;

const LENGTH: usize = 10;
/// Digits and lower-case letters without those that are easily misread: 32 characters, so 50 bits for 10 of them.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Whether the text has the form of a public number.
pub(super) fn is_public_id(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// A random number for which `is_taken` is false. With 50 bits a second attempt is rare, but happens among tens of millions of
/// files.
pub(super) fn unused_public_id(mut is_taken: impl FnMut(&str) -> Result<bool, DbError>) -> Result<String, DbError> {
    loop {
        let mut rng = rand::rng();
        let number: String = (0..LENGTH).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect();
        if !is_taken(&number)? {
            return Ok(number);
        }
    }
}
