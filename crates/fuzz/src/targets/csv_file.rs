//! CSV files, plain and compressed.

pub(super) fn run(input: &[u8]) {
    super::text_file::read("csv", input);
}
