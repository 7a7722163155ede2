//! Query parameters of paged lists.

/// The parameters of one page. `page` counts from 1, and 0 is the first as well; a `limit` of 0 is `max_limit`.
pub(crate) fn page_pairs(page: u32, limit: u32, max_limit: u32, sort: &str) -> Vec<(&'static str, String)> {
    let limit = if limit == 0 { max_limit } else { limit };
    vec![("page", page.max(1).to_string()), ("limit", limit.to_string()), ("sort", sort.to_owned())]
}
