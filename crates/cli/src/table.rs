//! Text tables for people: columns as wide as their widest cell.

use std::io::{self, Write};

use crate::human;

/// Alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    /// For numbers.
    Right,
}

/// Prints a table to standard output. Every row has as many cells as there are headings.
///
/// # Errors
/// When standard output cannot be written, perhaps because its reader closed it.
pub(crate) fn print<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    print_columns(headings.map(|heading| (heading, Side::Left)), rows)
}

/// The same, with the alignment of each column.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_columns<const N: usize>(columns: [(&str, Side); N], rows: &[[String; N]]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(lay_out(columns, rows).as_bytes())?;
    stdout.flush()
}

fn lay_out<const N: usize>(columns: [(&str, Side); N], rows: &[[String; N]]) -> String {
    let headings = columns.map(|(heading, _)| heading.to_owned());
    let rows = rows.iter().map(|row| row.each_ref().map(|cell| human::plain(cell)));
    let rows: Vec<_> = std::iter::once(headings).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(columns).zip(widths).map(|((cell, (_, side)), width)| match side {
            Side::Left => format!("{cell:width$}"),
            Side::Right => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_end_together() {
        let rows =
            [["ä".to_owned(), "1.0 KiB".to_owned(), "x\u{1b}".to_owned()], ["bcd".into(), "512 B".into(), "".into()]];
        assert_eq!(
            lay_out([("A", Side::Left), ("SIZE", Side::Right), ("LAST", Side::Left)], &rows),
            "A       SIZE  LAST\nä    1.0 KiB  x\\u{1b}\nbcd    512 B\n"
        );
    }
}
