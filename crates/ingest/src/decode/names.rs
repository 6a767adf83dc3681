//! The columns that fields are, by name. Letters' case does not count where no name is the same to the letter.

use std::collections::HashMap;

/// Places by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    exact: HashMap<String, usize>,
    any_case: HashMap<String, usize>,
}

impl Names {
    /// Names in the order of their places. Of those that differ in case only, the first is found.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for (place, name) in names.into_iter().enumerate() {
            all.exact.entry(name.to_owned()).or_insert(place);
            all.any_case.entry(name.to_lowercase()).or_insert(place);
        }
        all
    }

    /// The place of a name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.exact.get(name).or_else(|| self.any_case.get(&name.to_lowercase())).copied()
    }
}
