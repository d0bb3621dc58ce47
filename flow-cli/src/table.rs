//! Columns: a line of headings, and lines below it.

use std::fmt;

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Text(&'static str),
    Number(&'static str),
}

/// A table for people.
pub(crate) struct Table {
    columns: Vec<(String, bool)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Table {
        let columns = columns.iter().map(|column| match column {
            Column::Text(name) => ((*name).to_owned(), false),
            Column::Number(name) => ((*name).to_owned(), true),
        });
        Table { columns: columns.collect(), rows: Vec::new() }
    }

    /// Adds a column; numbers stand to the right.
    pub(crate) fn column(&mut self, name: impl Into<String>, is_number: bool) {
        self.columns.push((name.into(), is_number));
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads: Vec<String> = self.columns.iter().map(|(name, _)| name.to_uppercase()).collect();
        let lines = || [&heads].into_iter().chain(&self.rows);
        let width = |column: usize| {
            let cells = lines().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        for (at, row) in lines().enumerate() {
            let mut line = String::new();
            for ((cell, width), (_, is_number)) in row.iter().zip(&widths).zip(&self.columns) {
                let gap = if line.is_empty() { "" } else { "  " };
                line += &match is_number {
                    true => format!("{gap}{cell:>width$}"),
                    false => format!("{gap}{cell:<width$}"),
                };
            }
            write!(f, "{}{}", if at == 0 { "" } else { "\n" }, line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_lines_end_with_what_is_in_them() {
        let mut table =
            Table::new(&[Column::Number("n"), Column::Text("name"), Column::Text("of")]);
        table.row(["7".into(), "año".into(), String::new()]);
        table.row(["1,234".into(), "x".into(), "y".into()]);
        assert_eq!(table.to_string(), "    N  NAME  OF\n    7  año\n1,234  x     y");
    }
}
