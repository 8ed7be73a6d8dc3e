//! Tables: aligned columns for people.

use std::fmt;

use comfy_table::{ContentArrangement, presets};

/// A table with a heading.
pub struct Table(comfy_table::Table);

impl Table {
    /// Makes an empty table. It is as wide as its content, so that lines stay whole.
    pub fn new<const COLUMNS: usize>(heading: [&str; COLUMNS]) -> Table {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(heading);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Table(table)
    }

    /// Adds a row. Text of third parties must be escaped.
    pub fn row<const COLUMNS: usize>(&mut self, row: [String; COLUMNS]) {
        self.0.add_row(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
