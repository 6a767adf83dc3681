//! The tag of an answer: the same as long as statement, parameters, snapshots and visible data are the same.

use lakebed_access::Principal;
use lakebed_types::{DatabaseName, Result};
use sha2::{Digest, Sha256};

use crate::prepared::Parameters;

/// Changes when the same question may be answered differently by a newer build.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A quoted tag, as HTTP wants it.
pub(crate) fn tag(
    statement: &str,
    parameters: &Parameters,
    database: &DatabaseName,
    who: &Principal,
    snapshots: &[(String, String)],
) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(VERSION);
    add(database.as_str());
    add(&format!("{:?}", who.role()));
    add(statement);
    parameters.parts()?.iter().for_each(|part| add(part));
    for (table, version) in snapshots {
        add(table);
        add(version);
    }
    Ok(format!("\"{}\"", hex::encode(&hash.finalize()[..16])))
}

#[cfg(test)]
mod tests {
    use lakebed_access::Role;

    use super::*;

    #[test]
    fn every_input_changes_the_tag() {
        let (who, database) = (Principal::anonymous(Role::Read), DatabaseName::default_database());
        let snapshots = vec![("default.t".to_owned(), "1".to_owned())];
        let tag = |statement: &str, parameters: &Parameters, snapshots: &[(String, String)]| {
            tag(statement, parameters, &database, &who, snapshots).unwrap()
        };
        let base = tag("SELECT 1", &Parameters::None, &snapshots);
        assert_eq!(base, tag("SELECT 1", &Parameters::None, &snapshots));
        let one = Parameters::Positional(vec![1.into()]);
        assert_ne!(base, tag("SELECT 2", &Parameters::None, &snapshots));
        assert_ne!(base, tag("SELECT 1", &one, &snapshots));
        assert_ne!(base, tag("SELECT 1", &Parameters::None, &[("default.t".into(), "2".into())]));
    }
}
