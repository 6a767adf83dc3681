//! Results for a person: a table that fits the terminal, and a line that says what it leaves out.

use std::io::{IsTerminal, Write as _};

use arrow::{
    array::Array,
    datatypes::{DataType, SchemaRef},
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use comfy_table::{Cell, CellAlignment, Table, presets};
use lakebed_types::{Error, Result, format_count, sql_type_name};

/// Rows shown; the rest is counted.
const SHOWN_ROWS: usize = 40;
/// Characters of one value, where there are more columns than one.
const VALUE_CHARACTERS: usize = 48;
/// Columns of a terminal whose width cannot be read.
const DEFAULT_WIDTH: usize = 120;
/// What a column costs besides its text: padding and a border.
const COLUMN_FRAME: usize = 3;
const ELLIPSIS: &str = "…";

/// Collects the rows to show, counting the others.
pub(crate) struct Display {
    schema: SchemaRef,
    cells: Vec<Vec<String>>,
    rows: u64,
    width: Option<usize>,
}

impl Display {
    /// For results of this schema, on the terminal of stdout; a pipe gets all columns.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        let width = std::io::stdout()
            .is_terminal()
            .then(|| terminal_size::terminal_size().map_or(DEFAULT_WIDTH, |(width, _)| width.0 as usize));
        Self { schema, cells: Vec::new(), rows: 0, width }
    }

    /// Takes the rows of a batch.
    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        let take = SHOWN_ROWS.saturating_sub(self.cells.len()).min(batch.num_rows());
        let options = FormatOptions::default().with_null("NULL").with_display_error(true);
        let failed = |error| Error::internal("a value cannot be shown").with_source(error);
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).map_err(failed))
            .collect::<Result<Vec<_>>>()?;
        for row in 0..take {
            let value = |(column, formatter): (&arrow::array::ArrayRef, &ArrayFormatter<'_>)| match column.is_null(row)
            {
                true => "NULL".to_owned(),
                false => one_line(&formatter.value(row).to_string()),
            };
            self.cells.push(batch.columns().iter().zip(&columns).map(value).collect());
        }
        Ok(())
    }

    /// Writes the table to stdout, and what it leaves out with `facts` to stderr.
    pub(crate) fn finish(self, facts: &str) -> Result<()> {
        let shown = self.visible_columns();
        let table = self.table(&shown);
        writeln!(std::io::stdout(), "{table}")
            .map_err(|error| Error::internal("stdout cannot be written").with_source(error))?;
        eprintln!("{}{facts}", self.summary(&shown));
        Ok(())
    }

    fn summary(&self, shown: &[Option<usize>]) -> String {
        let rows = if self.rows == 1 { "1 row".to_owned() } else { format!("{} rows", format_count(self.rows)) };
        let rows = match self.rows > self.cells.len() as u64 {
            true => format!("{rows} ({} shown)", self.cells.len()),
            false => rows,
        };
        let (all, visible) = (self.schema.fields().len(), shown.iter().flatten().count());
        match all > visible {
            true => format!("{rows}, {all} columns ({visible} shown)"),
            false => rows,
        }
    }

    fn table(&self, shown: &[Option<usize>]) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        table.set_header(shown.iter().map(|column| match column {
            Some(index) => {
                let field = self.schema.field(*index);
                Cell::new(format!("{}\n{}", cut(field.name()), cut(&sql_type_name(field.data_type()))))
            }
            None => Cell::new(ELLIPSIS),
        }));
        for row in &self.cells {
            table.add_row(shown.iter().map(|column| match column {
                Some(index) => Cell::new(self.cell_text(&row[*index])).set_alignment(self.alignment(*index)),
                None => Cell::new(ELLIPSIS),
            }));
        }
        table
    }

    fn cell_text<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        if self.schema.fields().len() == 1 { text.into() } else { cut(text) }
    }

    fn alignment(&self, index: usize) -> CellAlignment {
        let data_type: &DataType = self.schema.field(index).data_type();
        if data_type.is_numeric() { CellAlignment::Right } else { CellAlignment::Left }
    }

    /// The columns that fit: all, or the first and the last ones with a gap (`None`) between.
    fn visible_columns(&self) -> Vec<Option<usize>> {
        let count = self.schema.fields().len();
        let widths: Vec<usize> = (0..count).map(|index| self.column_width(index)).collect();
        let Some(width) = self.width else { return (0..count).map(Some).collect() };
        if widths.iter().sum::<usize>() < width {
            return (0..count).map(Some).collect();
        }
        let mut left = width.saturating_sub(ELLIPSIS.chars().count() + COLUMN_FRAME + 1);
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for turn in 0..count {
            let index = if turn % 2 == 0 { turn / 2 } else { count - 1 - turn / 2 };
            if widths[index] > left && !first.is_empty() {
                break;
            }
            left = left.saturating_sub(widths[index]);
            if turn % 2 == 0 { first.push(Some(index)) } else { last.push(Some(index)) }
        }
        if first.len() + last.len() < count {
            first.push(None);
        }
        first.extend(last.into_iter().rev());
        first
    }

    fn column_width(&self, index: usize) -> usize {
        let field = self.schema.field(index);
        let header = field.name().chars().count().max(sql_type_name(field.data_type()).chars().count());
        let values = self.cells.iter().map(|row| row[index].chars().count()).max().unwrap_or(0);
        header.max(values).min(VALUE_CHARACTERS) + COLUMN_FRAME
    }
}

/// Control characters made visible: a value can neither break the table nor command the terminal.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    line
}

fn cut(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(VALUE_CHARACTERS) {
        Some(_) => {
            let kept: String = text.chars().take(VALUE_CHARACTERS - 1).collect();
            format!("{kept}{ELLIPSIS}").into()
        }
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn wide(columns: usize) -> RecordBatch {
        let fields: Vec<Field> =
            (0..columns).map(|i| Field::new(format!("column_{i}"), DataType::Int64, false)).collect();
        let arrays = (0..columns).map(|i| Arc::new(Int64Array::from(vec![i as i64; 100])) as _).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    #[test]
    fn a_wide_result_keeps_the_first_and_last_columns_and_says_so() {
        let batch = wide(93);
        let mut display = Display::new(batch.schema());
        display.width = Some(80);
        display.batch(&batch).unwrap();
        let shown = display.visible_columns();
        assert_eq!(shown[0], Some(0));
        assert_eq!(*shown.last().unwrap(), Some(92));
        let lines = display.table(&shown).to_string();
        assert!(lines.lines().all(|line| line.chars().count() <= 80), "{lines}");
        assert_eq!(display.summary(&shown), format!("100 rows (40 shown), 93 columns ({} shown)", shown.len() - 1));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let schema = Arc::new(Schema::new(vec![Field::new("s", DataType::Utf8, true)]));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(StringArray::from(vec![Some("a\u{1b}[31m\nb"), None]))])
            .unwrap();
        let mut display = Display::new(batch.schema());
        display.batch(&batch).unwrap();
        assert_eq!(display.cells, [["a\\u{1b}[31m\\nb"], ["NULL"]]);
    }
}
