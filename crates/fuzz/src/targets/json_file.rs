//! Files of JSON objects, as lines, one after the other or in an array, plain and compressed.

pub(super) fn run(input: &[u8]) {
    super::text_file::read("json", input);
}
