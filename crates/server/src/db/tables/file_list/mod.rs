//! Lists of files: filters, orders, pages.
//!
//! A list is read from the smallest set of files that one condition of its filter names in an index (`plan.rs`). The page is found in
//! that index alone; its rows are looked up afterwards. A page in the second half of a list is read from the end, so that no page
//! skips more than half of the index. If counters cover the filter, the total is a counter.

mod conditions;
mod index_scan;
mod plan;

use uuid::Uuid;

use self::plan::ListPlan;
use super::files::{self, File, columns_of_file};
use crate::db::sql::builder::Sql;
use crate::db::sql::{DbError, Tx, columns};
pub use crate::model::{FileFilter, FileKey, FileOrder};

/// Most matches of a search that are looked up and sorted after one scan. That takes some milliseconds.
const MAX_SORTED_MATCHES: u64 = 1000;

/// One page of files.
#[derive(Debug, Clone, PartialEq)]
pub struct FilePage {
    /// The files of the page.
    pub files: Vec<File>,
    /// Number of files on all pages.
    pub total: u64,
}

/// Skips `offset` files of the list and returns at most `limit`.
pub fn list(
    tx: &Tx<'_>,
    workspace_id: Uuid,
    filter: &FileFilter,
    order: FileOrder,
    limit: u32,
    offset: u64,
) -> Result<FilePage, DbError> {
    let plan = ListPlan::choose(tx, workspace_id, filter)?;
    if filter.search.is_some()
        && !plan.is_empty()
        && let Some(page) = page_of_few(tx, &plan, order, limit, offset)?
    {
        return Ok(page);
    }
    let total = plan.total(tx)?;
    if offset >= total {
        return Ok(FilePage { files: Vec::new(), total });
    }
    let rows = u64::from(limit).min(total - offset);
    let from_end = total - offset - rows;
    let is_nearer_to_end = from_end < offset;
    let (skipped, descending) =
        if is_nearer_to_end { (from_end, !order.descending) } else { (offset, order.descending) };
    let mut sql = Sql::default();
    sql.push(concat!("SELECT ", columns_of_file!(), " FROM (SELECT page.id, page.sort_key FROM ("), &[]);
    plan.select(&mut sql, |sql| {
        sql.push("SELECT f.id, ", &[]).push(column(order.key), &[]).push(" AS sort_key", &[]);
    });
    sql.push(") page", &[]).push(page_order(descending), &[]);
    sql.push(
        " LIMIT ? OFFSET ?) page JOIN files f ON f.id = page.id JOIN folders d ON d.id = f.folder_id",
        &[&columns::size_to_sql(rows), &columns::size_to_sql(skipped)],
    );
    // A join promises no order.
    sql.push(page_order(order.descending), &[]);
    let (text, values) = sql.finish();
    Ok(FilePage { files: tx.all(text, &values, files::from_row)?, total })
}

fn page_order(descending: bool) -> &'static str {
    match descending {
        true => " ORDER BY page.sort_key DESC, page.id DESC",
        false => " ORDER BY page.sort_key, page.id",
    }
}

/// The column of a sort key.
fn column(key: FileKey) -> &'static str {
    match key {
        FileKey::CreatedAt => "f.created_at",
        FileKey::UpdatedAt => "f.updated_at",
        FileKey::Name => "f.name_folded",
        FileKey::Size => "f.size_bytes",
    }
}

/// The page of a search, if it has at most [`MAX_SORTED_MATCHES`] matches: one index scan collects, counts and sorts them. With more
/// matches, scanning in the order of the list finds a page quickly.
fn page_of_few(
    tx: &Tx<'_>,
    plan: &ListPlan<'_>,
    order: FileOrder,
    limit: u32,
    offset: u64,
) -> Result<Option<FilePage>, DbError> {
    let mut sql = Sql::default();
    sql.push("WITH few AS MATERIALIZED (", &[]);
    plan.select(&mut sql, |sql| {
        sql.push("SELECT f.id", &[]);
    });
    sql.push(" LIMIT ?)", &[&columns::size_to_sql(MAX_SORTED_MATCHES + 1)]);
    // One row even without a match, for the total.
    sql.push(concat!(" SELECT ", columns_of_file!(), ", counted.number"), &[]);
    let joins = " FROM (SELECT count(*) AS number FROM few) counted LEFT JOIN few ON 1 = 1 \
                 LEFT JOIN files f ON f.id = few.id LEFT JOIN folders d ON d.id = f.folder_id ORDER BY ";
    sql.push(joins, &[]).push(column(order.key), &[]);
    sql.push(if order.descending { " DESC, f.id DESC" } else { ", f.id" }, &[]);
    sql.push(" LIMIT ? OFFSET ?", &[&i64::from(limit), &columns::size_to_sql(offset)]);
    let (text, values) = sql.finish();
    let rows = tx.all(text, &values, |row| {
        let is_file = row.get::<Option<String>>(0)?.is_some();
        let file = is_file.then(|| files::from_row(row)).transpose()?;
        Ok((file, row.get::<i64>(files::COLUMNS)?))
    })?;
    let Some(total) = rows.first().map(|(_, number)| u64::try_from(*number).unwrap_or_default()) else {
        return Ok(None);
    };
    let files = rows.into_iter().filter_map(|(file, _)| file).collect();
    Ok((total <= MAX_SORTED_MATCHES).then_some(FilePage { files, total }))
}
