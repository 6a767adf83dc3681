//! The footer and the pages of a Parquet file, looked at before they are read: the reader takes memory for what they
//! say of themselves, and a few bytes can stand for values without end.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use lakebed_types::{Error, ErrorKind, Result};
use parquet::{
    basic::{Compression, Type},
    file::metadata::{ColumnChunkMetaData, ParquetMetaData},
};

use super::{
    CHUNK_ROWS,
    budget::Budget,
    columnar::damaged,
    thrift::{Seen, walk},
};

const WHAT: &str = "Parquet file";
/// The footer's length and the file's last word.
const END_BYTES: usize = 8;
const MAX_FOOTER_BYTES: usize = 32 * 1024 * 1024;
/// Columns and groups of them.
const MAX_ELEMENTS: u64 = 100_000;
const MAX_ROW_GROUPS: u64 = i16::MAX as u64;
const MAX_DEPTH: usize = 64;
/// Bytes that rows which are read together may take, where one may be as long as a page.
const TOGETHER_BYTES: u64 = 256 * 1024 * 1024;
/// What LZ4 makes of a byte at most.
const LZ4_TIMES: u64 = 255;
/// The encoding of a text by what it shares with the one before (`DELTA_BYTE_ARRAY`).
const SHARED_PREFIXES: i64 = 7;

/// Fails where the footer says more than it can hold, or nests deeper than the reader can follow.
pub(super) fn check_footer(bytes: &Bytes) -> Result<()> {
    let Some((rest, end)) = bytes.split_last_chunk::<END_BYTES>() else { return Err(bad("it is too short")) };
    let [one, two, three, four, ..] = *end;
    let length = u32::from_le_bytes([one, two, three, four]) as usize;
    let start = rest.len().checked_sub(length).ok_or_else(|| bad("its footer is cut off"))?;
    if length > MAX_FOOTER_BYTES {
        return Err(bad("its footer is too long"));
    }
    let (mut tree, mut fits) = (Tree::default(), true);
    walk(&rest[start..], &mut |path, seen| match (path, seen) {
        ([2], Seen::List(size)) => fits &= size <= MAX_ELEMENTS,
        ([4], Seen::List(size)) => fits &= size <= MAX_ROW_GROUPS,
        ([4, 1], Seen::List(size)) => fits &= size <= MAX_ELEMENTS,
        ([2], Seen::Struct) => fits &= tree.element(),
        ([2, 5], Seen::Number(children)) => fits &= tree.children(children),
        _ => {}
    })
    .filter(|_| fits)
    .map(drop)
    .ok_or_else(|| bad("its footer is damaged, or has too much in it"))
}

/// The groups of a schema that are open: how many members each one has still to come.
#[derive(Default)]
struct Tree(Vec<u64>);

impl Tree {
    fn element(&mut self) -> bool {
        while self.0.pop_if(|left| *left == 0).is_some() {}
        if let Some(left) = self.0.last_mut() {
            *left -= 1;
        }
        self.0.push(0);
        self.0.len() <= MAX_DEPTH
    }

    fn children(&mut self, children: i64) -> bool {
        let children = u64::try_from(children).ok().filter(|children| *children <= MAX_ELEMENTS);
        if let (Some(last), Some(children)) = (self.0.last_mut(), children) {
            *last = children;
        }
        children.is_some()
    }
}

/// Fails where pages have more than the limit once they are read. Hands back how many rows may be read together.
pub(super) fn check_pages(bytes: &Bytes, metadata: &ParquetMetaData, budget: &mut Budget) -> Result<usize> {
    let mut longest = 1;
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        longest = longest.max(check_column(bytes, column, budget)?);
    }
    Ok(usize::try_from(TOGETHER_BYTES / longest).unwrap_or(CHUNK_ROWS).clamp(1, CHUNK_ROWS))
}

/// Hands back how long one value may be beyond what is counted, which are those of shared prefixes.
fn check_column(bytes: &Bytes, column: &ColumnChunkMetaData, budget: &mut Budget) -> Result<u64> {
    if matches!(column.compression(), Compression::BROTLI(_)) {
        return Err(Error::new(ErrorKind::Unsupported, "rows in Parquet files that Brotli compressed are not taken")
            .with_hint("Write the file with ZSTD or SNAPPY."));
    }
    let (start, length) = column.byte_range();
    let pages = start.checked_add(length).and_then(|end| bytes.get(start as usize..usize::try_from(end).ok()?));
    let (mut pages, mut longest) = (pages.ok_or_else(|| bad("a column is outside of it"))?, 1);
    while !pages.is_empty() {
        let (page, header) = Page::read(pages).ok_or_else(|| bad("the header of a page is damaged"))?;
        let (data, rest) =
            pages[header..].split_at_checked(page.compressed as usize).ok_or_else(|| bad("a page is cut off"))?;
        check_compression(&page, data, column.compression(), budget)?;
        budget.take(page.uncompressed)?;
        budget.take(page.values.saturating_mul(width(column)))?;
        if page.encoding == SHARED_PREFIXES && column.column_type() == Type::BYTE_ARRAY {
            longest = longest.max(page.uncompressed);
            // One row may have all of these.
            if column.column_descr().max_rep_level() > 0 {
                budget.take(page.values.saturating_mul(page.uncompressed))?;
            }
        }
        pages = rest;
    }
    Ok(longest)
}

/// The bytes of a value and its levels; of a text those that refer to it.
fn width(column: &ColumnChunkMetaData) -> u64 {
    let value = match column.column_type() {
        Type::BOOLEAN => 1,
        Type::INT32 | Type::FLOAT => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 | Type::BYTE_ARRAY => 16,
        Type::FIXED_LEN_BYTE_ARRAY => u64::try_from(column.column_descr().type_length()).unwrap_or(0),
    };
    let levels = column.column_descr().max_def_level() > 0 || column.column_descr().max_rep_level() > 0;
    value + if levels { 2 } else { 0 }
}

/// The readers of some compressions read to the end, however long that is.
fn check_compression(page: &Page, data: &[u8], compression: Compression, budget: &mut Budget) -> Result<()> {
    match compression {
        Compression::GZIP(_) => {
            let compressed = data.get(page.levels as usize..).unwrap_or_default();
            let mut inflated = MultiGzDecoder::new(compressed).take(page.uncompressed + 1);
            // Damage is for the reader to name.
            let length = std::io::copy(&mut inflated, &mut std::io::sink()).unwrap_or(0);
            if length > page.uncompressed { Err(bad("a page is longer than it says")) } else { Ok(()) }
        }
        // An older framing, which the reader falls back to, names no length.
        Compression::LZ4 => budget.clone().take(page.compressed * LZ4_TIMES),
        _ => Ok(()),
    }
}

/// What the header of a page says.
#[derive(Debug, Default)]
struct Page {
    uncompressed: u64,
    compressed: u64,
    values: u64,
    encoding: i64,
    /// Bytes before the values that are never compressed.
    levels: u64,
}

impl Page {
    /// And how long the header is. None where it says what cannot be.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (mut page, mut sane) = (Self::default(), true);
        let header = walk(bytes, &mut |path, seen| {
            let Seen::Number(number) = seen else { return };
            let size = u64::from(u32::try_from(number).unwrap_or(u32::MAX));
            match path {
                [2] => page.uncompressed = size,
                [3] => page.compressed = size,
                [5 | 7 | 8, 1] => page.values = size,
                [5, 2] | [8, 4] => page.encoding = number,
                [8, 5 | 6] => page.levels += size,
                _ => return,
            }
            sane &= i32::try_from(number).is_ok_and(|number| number >= 0);
        })?;
        sane.then_some((page, header))
    }
}

fn bad(what: &'static str) -> Error {
    damaged(WHAT, std::io::Error::other(what))
}
