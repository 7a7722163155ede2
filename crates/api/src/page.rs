//! Pages of lists.

use serde::{Deserialize, Serialize};

/// The position of a page in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PageMeta {
    /// The page, from 1.
    pub page: u32,
    /// Most rows on a page.
    pub limit: u32,
    /// Rows on all pages.
    pub total: u64,
    /// Whether there is a page after this one.
    #[serde(rename = "hasNext")]
    pub has_next: bool,
    /// Whether there is a page before this one.
    #[serde(rename = "hasPrev")]
    pub has_prev: bool,
}

impl PageMeta {
    /// The position of page `page` (from 1) of a list of `total` rows.
    pub fn new(page: u32, limit: u32, total: u64) -> Self {
        let has_next = u64::from(page) * u64::from(limit) < total;
        Self { page, limit, total, has_next, has_prev: page > 1 }
    }
}
