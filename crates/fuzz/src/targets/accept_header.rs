//! `Accept` headers: some format, whatever the case of its letters, or an error that is the sender's.

use lakebed_formats::Format;
use lakebed_types::ErrorKind;

pub(super) fn run(input: &[u8]) {
    let Ok(header) = std::str::from_utf8(input) else { return };
    let chosen = Format::from_accept(header);
    if let Err(error) = &chosen {
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{header}: {error}");
    }
    let in_capitals = Format::from_accept(&header.to_ascii_uppercase());
    assert_eq!(chosen.ok(), in_capitals.ok(), "{header}");
}
