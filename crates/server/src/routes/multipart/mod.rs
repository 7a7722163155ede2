//! `/api/v1/multipart/…`

pub(crate) mod abort;
pub(crate) mod complete;
pub(crate) mod list;
pub(crate) mod part;
pub(crate) mod resign;
pub(crate) mod start;
pub(crate) mod status;

use std::sync::Arc;

use partway_api::PartPlan;
use uuid::Uuid;

use crate::error::ApiError;
use crate::model::Timestamp;
use crate::service::part_urls::PartPermission;
use crate::service::urls::Urls;
use crate::storage::StorageError;

/// Upper bound of the URLs that are signed on an async thread. Each takes some microseconds; more of them would delay other requests.
const MAX_SIGNED_INLINE: usize = 256;

/// The presigned URLs of parts of a session.
async fn part_urls(
    urls: &Arc<Urls>,
    session_id: Uuid,
    plan: PartPlan,
    parts: Vec<u32>,
    expires_at: Timestamp,
) -> Result<Vec<String>, ApiError> {
    if parts.len() <= MAX_SIGNED_INLINE {
        return Ok(sign(urls, session_id, &plan, &parts, expires_at));
    }
    let urls = Arc::clone(urls);
    let signed = tokio::task::spawn_blocking(move || sign(&urls, session_id, &plan, &parts, expires_at)).await;
    signed.map_err(|error| StorageError::from(error).into())
}

fn sign(urls: &Urls, session_id: Uuid, plan: &PartPlan, parts: &[u32], expires_at: Timestamp) -> Vec<String> {
    let expires_at = expires_at.unix_seconds();
    let url = |part_index: &u32| {
        let length_bytes = plan.part_len(*part_index).unwrap_or_default();
        urls.part(&PartPermission { session_id, part_index: *part_index, length_bytes, expires_at })
    };
    parts.iter().map(url).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures_util::poll;

    use super::*;
    use crate::config::HttpSettings;
    use crate::service::part_urls::PartUrlSigner;

    /// How long the first step takes, which is how long a thread that answers requests is held, and whether it was all.
    async fn first_step(parts: u32) -> (std::time::Duration, bool) {
        let part_url_signer = PartUrlSigner::new(&[1; 32]);
        let urls = Arc::new(Urls::new(&HttpSettings::default(), "127.0.0.1:1".parse().unwrap(), part_url_signer));
        let plan = PartPlan::for_size(u64::from(parts) * 10 * 1024 * 1024);
        let expires_at = Timestamp::now();
        let id = Uuid::from_u128(7);
        let mut signing = std::pin::pin!(part_urls(&urls, id, plan, (0..parts).collect(), expires_at));
        let began = Instant::now();
        let first = poll!(signing.as_mut());
        let held = began.elapsed();
        let is_done = first.is_ready();
        let signed = match first {
            std::task::Poll::Ready(signed) => signed,
            std::task::Poll::Pending => signing.await,
        };
        let began = Instant::now();
        let expected = sign(&urls, id, &plan, &(0..parts).collect::<Vec<_>>(), expires_at);
        println!("{parts} URLs: {held:?} at once, {:?} in all", began.elapsed());
        assert!(signed.unwrap() == expected);
        (held, is_done)
    }

    #[tokio::test]
    async fn thousands_of_urls_are_signed_where_no_request_waits_for_them() {
        assert!(first_step(MAX_SIGNED_INLINE as u32).await.1);
        assert!(!first_step(MAX_SIGNED_INLINE as u32 + 1).await.1);
        assert!(!first_step(10_000).await.1);
    }
}
