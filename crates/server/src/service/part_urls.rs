//! Presigned part URLs: the URL itself is the permission to send one part.
//!
//! The signature is an HMAC-SHA256 (RFC 2104, FIPS 198-1) of method, session, part, exact length and expiry, keyed by a secret of
//! the database, or during the grace period of a rotation by its previous value. The URL contains everything that is signed, so a
//! request is checked before its body is read and without the database.

use std::sync::{Arc, PoisonError, RwLock};

use hmac::{Hmac, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::hmac_keys::{from_hex, keyed, to_hex};

/// The path of part URLs, up to the session's id.
const PATH_PREFIX: &str = "/api/v1/multipart/";

/// First line of the signed text: a signature made for another purpose never matches.
const CONTEXT: &str = "partway part URL v1";

/// Makes and checks signatures. Clones share their secret.
#[derive(Clone)]
pub struct PartUrlSigner {
    keys: Arc<RwLock<Keys>>,
}

/// The key that signs, and the one before the last rotation.
#[derive(Clone)]
struct Keys {
    current: Hmac<Sha256>,
    /// With the end of its grace period in Unix seconds.
    previous: Option<(Hmac<Sha256>, i64)>,
}

impl std::fmt::Debug for PartUrlSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PartUrlSigner(…)")
    }
}

/// The permission of one URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartPermission {
    /// The session.
    pub session_id: Uuid,
    /// The part, from 0.
    pub part_index: u32,
    /// Exact length of the body in bytes.
    pub length_bytes: u64,
    /// Expiry in Unix seconds: the URL is refused from then on.
    pub expires_at: i64,
}

/// Why a URL is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was not signed by this server, or was changed.
    #[error("the signature does not match the URL")]
    Signature,
    /// Its signature is valid, but it has expired.
    #[error("the URL has expired")]
    Expired,
}

impl PartUrlSigner {
    /// Signs with `secret`.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self { keys: Arc::new(RwLock::new(Keys { current: keyed(secret), previous: None })) }
    }

    /// Signs with `secret` from now on. `previous` is accepted until the Unix seconds given with it.
    pub fn rotate(&self, secret: &[u8; 32], previous: Option<(&[u8; 32], i64)>) {
        let previous = previous.map(|(secret, until)| (keyed(secret), until));
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Keys { current: keyed(secret), previous };
    }

    fn keys(&self) -> Keys {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The path and query of the URL that grants `permission`, starting with `/`.
    pub fn path_and_query(&self, permission: &PartPermission) -> String {
        let PartPermission { session_id, part_index, length_bytes, expires_at } = permission;
        let signature = to_hex(&mac(self.keys().current, permission).finalize().into_bytes());
        format!(
            "{PATH_PREFIX}{session_id}/parts/{part_index}?length={length_bytes}&expires={expires_at}&signature={signature}"
        )
    }

    /// Checks, in constant time, that `signature` (hexadecimal) grants `permission` at `now` (Unix seconds).
    ///
    /// # Errors
    /// The signature is checked first, so nothing is revealed about a URL that was not signed.
    pub fn check(&self, permission: &PartPermission, signature: &str, now: i64) -> Result<(), Refusal> {
        let signature = from_hex(signature).ok_or(Refusal::Signature)?;
        let Keys { current, previous } = self.keys();
        let fits = |keyed: Hmac<Sha256>| mac(keyed, permission).verify_slice(&signature).is_ok();
        let is_good = fits(current) || previous.is_some_and(|(previous, until)| now < until && fits(previous));
        match is_good {
            false => Err(Refusal::Signature),
            true if now < permission.expires_at => Ok(()),
            true => Err(Refusal::Expired),
        }
    }
}

/// Whether a path is that of a part URL, signed or not.
pub fn is_part_path(path: &str) -> bool {
    let mut segments = path.strip_prefix(PATH_PREFIX).into_iter().flat_map(|rest| rest.split('/'));
    let found = [segments.next(), segments.next(), segments.next(), segments.next()];
    matches!(found, [Some(session_id), Some("parts"), Some(index), None] if !session_id.is_empty() && !index.is_empty())
}

fn mac(mut keyed: Hmac<Sha256>, permission: &PartPermission) -> Hmac<Sha256> {
    let PartPermission { session_id, part_index, length_bytes, expires_at } = permission;
    keyed.update(format!("{CONTEXT}\nPUT\n{session_id}\n{part_index}\n{length_bytes}\n{expires_at}").as_bytes());
    keyed
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERMISSION: PartPermission =
        PartPermission { session_id: Uuid::from_u128(7), part_index: 3, length_bytes: 10, expires_at: 1000 };

    fn signature(permission: &PartPermission) -> String {
        let url = PartUrlSigner::new(&[1; 32]).path_and_query(permission);
        url.rsplit_once("signature=").unwrap().1.to_owned()
    }

    #[test]
    fn part_urls_and_nothing_else_have_the_path_of_one() {
        let url = PartUrlSigner::new(&[1; 32]).path_and_query(&PERMISSION);
        assert!(is_part_path(url.split_once('?').unwrap().0), "{url}");
        for other in [
            "/api/v1/multipart/x/parts",
            "/api/v1/multipart/x/parts/",
            "/api/v1/multipart/x/parts/1/y",
            "/api/v1/files/x/parts/1",
            "/x",
        ] {
            assert!(!is_part_path(other), "{other}");
        }
    }

    #[test]
    fn a_url_permits_exactly_what_it_was_signed_for() {
        let part_url_signer = PartUrlSigner::new(&[1; 32]);
        let good = signature(&PERMISSION);
        assert_eq!(part_url_signer.check(&PERMISSION, &good, 999), Ok(()));
        assert_eq!(part_url_signer.check(&PERMISSION, &good, 1000), Err(Refusal::Expired));
        let changed = [
            PartPermission { session_id: Uuid::from_u128(8), ..PERMISSION },
            PartPermission { part_index: 4, ..PERMISSION },
            PartPermission { length_bytes: 11, ..PERMISSION },
            PartPermission { expires_at: 2000, ..PERMISSION },
        ];
        for permission in changed {
            assert_eq!(part_url_signer.check(&permission, &good, 999), Err(Refusal::Signature), "{permission:?}");
        }
        for bad in ["", "00", &good[1..], &good.to_uppercase(), &format!("{good}0"), &"g".repeat(64)] {
            assert_eq!(part_url_signer.check(&PERMISSION, bad, 999), Err(Refusal::Signature), "{bad}");
        }
        assert_eq!(PartUrlSigner::new(&[2; 32]).check(&PERMISSION, &good, 999), Err(Refusal::Signature));
    }

    #[test]
    fn after_a_rotation_both_secrets_are_accepted_during_the_grace_period() {
        let part_url_signer = PartUrlSigner::new(&[1; 32]);
        let old = signature(&PERMISSION);
        part_url_signer.rotate(&[2; 32], Some((&[1; 32], 500)));
        let new = part_url_signer.path_and_query(&PERMISSION).rsplit_once("signature=").unwrap().1.to_owned();
        assert_ne!(old, new);
        assert_eq!(
            (part_url_signer.check(&PERMISSION, &old, 499), part_url_signer.check(&PERMISSION, &new, 499)),
            (Ok(()), Ok(()))
        );
        assert_eq!(part_url_signer.check(&PERMISSION, &old, 500), Err(Refusal::Signature));
        assert_eq!(part_url_signer.check(&PERMISSION, &new, 500), Ok(()));
        // Without a grace period the old value is refused at once, by clones as well.
        let clone = part_url_signer.clone();
        part_url_signer.rotate(&[3; 32], None);
        assert_eq!(clone.check(&PERMISSION, &new, 0), Err(Refusal::Signature));
    }
}
