//! `[data]`: where this process keeps its own files, and what it may write.

use std::path::PathBuf;

use lakebed_storage::Location;
use lakebed_types::Result;

use super::{Key, Values};

pub(super) const KEYS: &[Key] = &[
    Key { name: "data.dir", default: "lakebed-data", about: "Folder of the catalog, spill files and kept results." },
    Key {
        name: "data.lake",
        default: "",
        about: "Where managed tables and CTAS results are written (default: `lake` in `data.dir`).",
    },
    Key { name: "data.readable", default: "", about: "Further locations, comma separated, that SQL may read by path." },
    Key { name: "data.writable", default: "", about: "Locations, comma separated, that `COPY … TO` may write." },
];

/// This process's own files, and further locations.
#[derive(Debug, Clone)]
pub(crate) struct DataSettings {
    pub(crate) dir: PathBuf,
    pub(crate) readable: Vec<Location>,
    pub(crate) writable: Vec<Location>,
}

impl DataSettings {
    /// Reads the section.
    pub(crate) fn read(values: &Values) -> Result<Self> {
        Ok(Self {
            dir: PathBuf::from(values.text("data.dir").unwrap_or("lakebed-data")),
            readable: locations(values, "data.readable")?,
            writable: locations(values, "data.writable")?,
        })
    }
}

fn locations(values: &Values, name: &str) -> Result<Vec<Location>> {
    let text = values.text(name).unwrap_or_default();
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Location::parse).collect()
}
