//! One setting's name, default and meaning.

/// A setting. Its variable is `LAKEBED_` and the name in upper case with `_` for the dot.
#[derive(Debug)]
pub(crate) struct Key {
    /// `section.name`, as in `lakebed.toml`.
    pub(crate) name: &'static str,
    /// The default as text; empty where there is none.
    pub(crate) default: &'static str,
    /// What it does, in one sentence.
    pub(crate) about: &'static str,
}

impl Key {
    /// The environment variable of this setting.
    pub(crate) fn variable(&self) -> String {
        format!("LAKEBED_{}", self.name.replace('.', "_").to_uppercase())
    }
}
