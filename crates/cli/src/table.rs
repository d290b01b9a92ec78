//! Tables on the terminal.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::output::out;

/// A table without a frame; the first `left` columns are aligned left, the others right.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, left: usize) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index >= left {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Prints a table without trailing blanks.
pub(crate) fn print(header: &[&str], rows: Vec<Vec<String>>, left: usize) {
    let mut text = String::new();
    for line in table(header, rows, left).lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    // Line by line, a hundred thousand of them are as many calls of the system.
    out!("{text}");
}
