//! Tables: aligned columns for people.

use std::fmt;

use comfy_table::{ColumnConstraint, ContentArrangement, Row, presets};

/// A table with a heading.
pub struct Table {
    rows: comfy_table::Table,
    /// The text below each row, in the order of the rows.
    notes: Vec<Option<String>>,
    /// The width in columns, or `None` if it is as wide as its content.
    width: Option<u16>,
}

impl Table {
    /// Makes an empty table. It is as wide as its content, so that lines stay whole.
    pub fn new<'h>(heading: impl IntoIterator<Item = &'h str>) -> Table {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(heading);
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        Table { rows: table, notes: Vec::new(), width: None }
    }

    /// Limits the width of the table. If it would be wider, the longest cells of the columns `cut` are cut, and notes
    /// take several lines.
    #[must_use]
    pub fn within(mut self, width: u16, cut: &[usize]) -> Table {
        // The gap after the last column is not printed.
        self.rows.set_content_arrangement(ContentArrangement::Dynamic).set_width(width + GAP);
        for (index, column) in self.rows.column_iter_mut().enumerate() {
            if !cut.contains(&index) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        Table { width: Some(width), ..self }
    }

    /// Adds a row. Text of third parties must be escaped.
    pub fn row(&mut self, row: impl IntoIterator<Item = String>) {
        let mut row = Row::from(row.into_iter().collect::<Vec<String>>());
        row.max_height(1);
        self.rows.add_row(row);
        self.notes.push(None);
    }

    /// Adds a row with a text below it.
    pub fn row_with_note(&mut self, row: impl IntoIterator<Item = String>, note: String) {
        self.row(row);
        if let Some(last) = self.notes.last_mut() {
            *last = Some(note);
        }
    }

    /// Indents a note, and breaks it between words.
    fn lines(&self, note: &str) -> Vec<String> {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).add_row([note]);
        let arrangement = if self.width.is_some() { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
        table.set_content_arrangement(arrangement).set_width(self.width.unwrap_or(u16::MAX));
        for column in table.column_iter_mut() {
            column.set_padding((GAP, 0));
        }
        table.lines().collect()
    }
}

/// The blanks between two columns, and before a note.
const GAP: u16 = 2;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each row has one line, after that of the heading.
        let notes = std::iter::once(&None).chain(&self.notes);
        for (line, note) in self.rows.lines().zip(notes) {
            writeln!(f, "{}", line.trim_end())?;
            for line in note.iter().flat_map(|note| self.lines(note)) {
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&str]) -> String {
        let mut table = Table::new(["CONTAINER", "PORT", "NAME"]).within(40, &[0, 2]);
        for name in names {
            table.row_with_note(
                [(*name).to_owned(), "8080".to_owned(), format!("{name}_5bde56")],
                format!("the only published port of {name}"),
            );
        }
        table.to_string()
    }

    #[test]
    fn a_note_stands_below_its_row() {
        assert_eq!(
            table(&["api-1", "api-2"]),
            "CONTAINER  PORT  NAME\n\
             api-1      8080  api-1_5bde56\n  the only published port of api-1\n\
             api-2      8080  api-2_5bde56\n  the only published port of api-2\n"
        );
    }

    #[test]
    fn a_table_that_is_too_wide_is_cut_in_the_columns_of_names() {
        let shown = table(&["a", "ecs-shop-api-12-api-a0b1c2d3e4f5a6b7c801", "容器の名前容器の名前容器の名前"]);
        assert_eq!(
            shown,
            "CONTAINER         PORT  NAME\n\
             a                 8080  a_5bde56\n  the only published port of a\n\
             ecs-shop-api-12…  8080  ecs-shop-api-12…\n  the only published port of ecs-shop-ap\n  \
             i-12-api-a0b1c2d3e4f5a6b7c801\n\
             容器の名前容器…   8080  容器の名前容器…\n  the only published port of\n  容器の名前容器の名前容器の名前\n"
        );
    }
}
