//! How a CSV file is written: delimiter, quote, line end, header.

use std::collections::HashSet;

use arrow::datatypes::DataType;

use super::{
    csv::{self, Dialect},
    infer::Evidence,
    span::{Form, Span},
};
use crate::TextOptions;

/// Of two delimiters that split equally well, the rarer one in texts and numbers wins.
const DELIMITERS: [u8; 4] = [b'\t', b'|', b';', b','];
/// Records that are looked at.
const SAMPLE_RECORDS: usize = 1000;
/// Of the sampled records, how many must have the same number of fields.
const CONSISTENT_SHARE: f64 = 0.9;

/// A CSV file's dialect and columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Detected {
    pub options: TextOptions,
    pub names: Vec<String>,
}

/// A way to read the sample, and how well it fits.
struct Reading {
    dialect: Dialect,
    records: Vec<Vec<Span>>,
    width: usize,
    /// Of the records, how many have `width` fields.
    share: f64,
}

impl Reading {
    fn is_exact(&self) -> bool {
        self.width > 1 && self.share >= 1.0
    }

    fn quoted_fields(&self) -> usize {
        let quoted = |span: &&Span| matches!(span.form, Form::Quoted | Form::Escaped);
        self.records.iter().flatten().filter(quoted).count()
    }
}

/// The dialect of a text that is no JSON; `None` if nothing splits its lines into columns and it has no one column
/// either. `whole`: nothing follows. `may_be_list`: a single column of plain texts is a table, too.
pub(super) fn detect(text: &[u8], whole: bool, may_be_list: bool) -> Option<Detected> {
    let line_end = if memchr::memchr(b'\n', text).is_none() && text.contains(&b'\r') { b'\r' } else { b'\n' };
    let best = best_reading(text, whole, line_end, b'"', None);
    let exact = best.as_ref().is_some_and(Reading::is_exact);
    let best = if exact {
        best
    } else {
        best_reading(text, whole, line_end, b'"', Some(b'\\')).filter(Reading::is_exact).or(best)
    };
    if let Some(single) = best_reading(text, whole, line_end, b'\'', None).filter(Reading::is_exact)
        && single.quoted_fields() >= single.records.len().saturating_sub(1).max(1)
        && best.as_ref().is_none_or(|best| best.quoted_fields() == 0)
    {
        return Some(describe(text, &single));
    }
    match best {
        Some(best) => Some(describe(text, &best)),
        None => one_column(text, whole, line_end, may_be_list),
    }
}

fn best_reading(text: &[u8], whole: bool, line_end: u8, quote: u8, escape: Option<u8>) -> Option<Reading> {
    let readings = DELIMITERS.iter().map(|delimiter| {
        let dialect = Dialect { delimiter: *delimiter, quote, escape, line_end };
        read(text, whole, dialect)
    });
    let fits = readings.filter(|reading| reading.width > 1 && reading.share >= CONSISTENT_SHARE);
    fits.reduce(|best, next| {
        let better = (next.is_exact(), next.width) > (best.is_exact(), best.width);
        if better { next } else { best }
    })
}

fn read(text: &[u8], whole: bool, dialect: Dialect) -> Reading {
    let (mut at, mut records, mut broken) = (0, Vec::new(), 0usize);
    while records.len() < SAMPLE_RECORDS {
        at = csv::skip_blank_lines(&dialect, text, at);
        if at >= text.len() {
            break;
        }
        let mut record = Vec::new();
        match csv::fields(&dialect, text, at, |_, span| record.push(span)) {
            // The last record may be cut.
            Ok((_, next)) if next >= text.len() && !whole && !records.is_empty() => break,
            Ok((_, next)) => {
                records.push(record);
                at = next;
            }
            Err(_) => {
                // A quote may be closed behind the end of the sample.
                broken = usize::from(whole || records.is_empty());
                break;
            }
        }
    }
    let width = most_common_width(&records);
    let fitting = records.iter().filter(|record| record.len() == width).count();
    let share = fitting as f64 / (records.len() + broken).max(1) as f64;
    Reading { dialect, records, width, share }
}

fn most_common_width(records: &[Vec<Span>]) -> usize {
    let mut widths: Vec<usize> = records.iter().map(Vec::len).collect();
    widths.sort_unstable();
    let runs = widths.chunk_by(|left, right| left == right);
    runs.max_by_key(|run| run.len()).map_or(0, |run| run[0])
}

/// One value a line, with a delimiter that does not occur.
fn one_column(text: &[u8], whole: bool, line_end: u8, may_be_list: bool) -> Option<Detected> {
    let delimiter = [b',', b';', b'\t', b'|'].into_iter().find(|delimiter| !text.contains(delimiter))?;
    let reading = read(text, whole, Dialect { delimiter, quote: b'"', escape: None, line_end });
    if reading.share < CONSISTENT_SHARE {
        return None;
    }
    let mut evidence = Evidence::default();
    for record in reading.records.iter().skip(1) {
        evidence.add(record[0].of(text));
    }
    let typed = !matches!(evidence.data_type(), DataType::Utf8 | DataType::Null);
    (typed || may_be_list).then(|| describe(text, &reading))
}

fn describe(text: &[u8], reading: &Reading) -> Detected {
    let Dialect { delimiter, quote, escape, line_end } = reading.dialect;
    let header = has_header(text, reading);
    let options = TextOptions { delimiter, quote, escape, line_end, header, ..TextOptions::default() };
    let names = match reading.records.first() {
        Some(first) if header => column_names(first.iter().map(|span| field_text(&reading.dialect, text, *span))),
        _ => (0..reading.width).map(|index| format!("column{index}")).collect(),
    };
    Detected { options, names }
}

fn field_text(dialect: &Dialect, text: &[u8], span: Span) -> String {
    let raw = String::from_utf8_lossy(span.of(text));
    if span.form == Form::Escaped { csv::unescape(dialect, &raw).into_owned() } else { raw.into_owned() }
}

/// The first line is a header if its types differ from those below; where everything is text, if its values are
/// distinct and do not come again in their columns.
fn has_header(text: &[u8], reading: &Reading) -> bool {
    let Some((first, rest)) = reading.records.split_first() else { return false };
    let mut typed_below = false;
    for (column, name) in first.iter().enumerate() {
        let mut below = Evidence::default();
        rest.iter().filter_map(|record| record.get(column)).for_each(|span| below.add(span.of(text)));
        let mut here = Evidence::default();
        here.add(name.of(text));
        let is_text = |evidence: &Evidence| evidence.data_type() == DataType::Utf8;
        if !here.is_empty() && !is_text(&here) {
            return false;
        }
        typed_below |= is_text(&here) && !below.is_empty() && !is_text(&below);
    }
    typed_below || looks_like_names(text, first, rest)
}

fn looks_like_names(text: &[u8], first: &[Span], rest: &[Vec<Span>]) -> bool {
    let names: Vec<&[u8]> = first.iter().map(|span| span.of(text).trim_ascii()).collect();
    let distinct: HashSet<&[u8]> = names.iter().copied().collect();
    let blank = names.iter().skip(1).any(|name| name.is_empty());
    let again = |(column, name): (usize, &&[u8])| {
        rest.iter().filter_map(|record| record.get(column)).any(|span| span.of(text).trim_ascii() == *name)
    };
    distinct.len() == names.len() && !blank && !names.iter().enumerate().any(again)
}

/// Names for columns: a blank one is `column3` (counted from 0), one that came before, in any case, gets `_1`.
fn column_names(header: impl Iterator<Item = String>) -> Vec<String> {
    let mut taken = HashSet::new();
    let name = |(index, text): (usize, String)| {
        let base = if text.trim().is_empty() { format!("column{index}") } else { text.trim().to_owned() };
        let numbered = (1..).map(|number| format!("{base}_{number}"));
        let mut candidates = std::iter::once(base.clone()).chain(numbered);
        candidates.find(|name| taken.insert(name.to_lowercase())).unwrap_or(base)
    };
    header.enumerate().map(name).collect()
}
