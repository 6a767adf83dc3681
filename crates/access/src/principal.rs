//! Who is asking, and what they may do.

use std::sync::Arc;

use lakebed_types::{DatabaseName, Error, ErrorKind, Result, StatementKind, TableName};
use tokio_util::sync::CancellationToken;

use crate::{ApiKey, DEFAULT_WORKGROUP, Grants, audit, issuer::Rights};

/// What a principal may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Statements that read.
    Read,
    /// Also rows and tables: `INSERT`, `COPY … TO`, CTAS, external tables, views, `DROP TABLE`.
    Write,
    /// Also databases, crawlers, keys and workgroups.
    Admin,
}

impl Role {
    /// The word in settings and messages: `read`, `write`, `admin`.
    pub fn name(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Write => "write",
            Role::Admin => "admin",
        }
    }

    /// The role of this word.
    pub fn from_name(name: &str) -> Option<Self> {
        [Role::Read, Role::Write, Role::Admin].into_iter().find(|role| role.name() == name)
    }
}

/// Who is asking. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Principal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    role: Role,
    grants: Grants,
    workgroup: String,
    /// Of a key or a token: cancelled when it is revoked, or its issuer is no longer trusted.
    session: Option<CancellationToken>,
}

impl Principal {
    fn new(name: impl Into<String>, role: Role) -> Self {
        let (name, workgroup) = (name.into(), DEFAULT_WORKGROUP.to_owned());
        Self { inner: Arc::new(Inner { name, role, grants: Grants::everything(), workgroup, session: None }) }
    }

    /// The holder of a key.
    pub(crate) fn of_key(key: &ApiKey, session: CancellationToken) -> Self {
        let (name, grants, workgroup) = (key.name.clone(), key.grants.clone(), key.workgroup.clone());
        Self { inner: Arc::new(Inner { name, role: key.role, grants, workgroup, session: Some(session) }) }
    }

    /// The holder of an issuer's token, under the workgroup `default`.
    pub(crate) fn of_token(name: String, rights: Rights, session: CancellationToken) -> Self {
        let (Rights { role, grants }, workgroup) = (rights, DEFAULT_WORKGROUP.to_owned());
        Self { inner: Arc::new(Inner { name, role, grants, workgroup, session: Some(session) }) }
    }

    /// The same principal, with this role if its own is higher.
    pub(crate) fn at_most(self, role: Role) -> Self {
        if self.role() <= role {
            return self;
        }
        let Inner { name, grants, workgroup, session, .. } = self.inner.as_ref();
        let (name, grants, workgroup) = (name.clone(), grants.clone(), workgroup.clone());
        Self { inner: Arc::new(Inner { name, role, grants, workgroup, session: session.clone() }) }
    }

    /// The same principal under this workgroup: for credentials that name one.
    #[must_use]
    pub fn in_workgroup(self, workgroup: &str) -> Self {
        let Inner { name, role, grants, session, .. } = self.inner.as_ref();
        let (name, grants, workgroup) = (name.clone(), grants.clone(), workgroup.to_owned());
        Self { inner: Arc::new(Inner { name, role: *role, grants, workgroup, session: session.clone() }) }
    }

    /// Whether both are the same caller with the same rights: what was checked for one holds for the other.
    pub fn has_rights_of(&self, other: &Principal) -> bool {
        let (one, other) = (self.inner.as_ref(), other.inner.as_ref());
        let same_caller = one.name == other.name && one.workgroup == other.workgroup;
        same_caller && one.role == other.role && one.grants == other.grants
    }

    /// What ends with the key or the issuer of this principal; None where neither stands behind it.
    pub(crate) fn session(&self) -> Option<&CancellationToken> {
        self.inner.session.as_ref()
    }

    /// Resolves when the key or the issuer behind this principal is taken away; never where neither stands behind it. For
    /// what goes on for as long as its client wants.
    pub async fn ended(&self) {
        match self.session() {
            Some(session) => session.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// A principal of any name.
    #[cfg(test)]
    pub(crate) fn named(name: &str, role: Role) -> Self {
        Self::new(name, role)
    }

    /// Everyone, on a server without keys.
    pub fn anonymous(role: Role) -> Self {
        Self::new("anonymous", role)
    }

    /// The person at the command line: may do everything.
    pub fn local() -> Self {
        Self::new("local", Role::Admin)
    }

    /// A background duty (crawler, freshness), by name.
    pub fn system(duty: &'static str) -> Self {
        Self::new(format!("system:{duty}"), Role::Admin)
    }

    /// The name in history and logs: a key's, `oidc:NAME` for tokens, `anonymous`, `local`, `system:crawler`.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// What it may do.
    pub fn role(&self) -> Role {
        self.inner.role
    }

    /// The workgroup that it works under.
    pub fn workgroup(&self) -> &str {
        &self.inner.workgroup
    }

    /// Whether nothing of the catalog is hidden from it.
    pub fn sees_everything(&self) -> bool {
        self.inner.grants.is_everything()
    }

    /// Whether the database, or a table in it, is granted. What a principal may not see does not exist for it.
    pub fn can_see_database(&self, database: &DatabaseName) -> bool {
        self.inner.grants.has_database(database)
    }

    /// Whether the table or view is granted.
    pub fn can_see_table(&self, table: &TableName) -> bool {
        self.inner.grants.has_table(table)
    }

    /// Fails with `permission_denied` for a principal with grants: they are about names, and a path could lead to the
    /// files of any table. `to` ends the sentence "may not …".
    pub fn may_use_paths(&self, to: &str) -> Result<()> {
        if self.sees_everything() {
            return Ok(());
        }
        audit::denied(self, to);
        let message = format!("`{}` with grants on databases or tables may not {to}", self.name());
        Err(Error::new(ErrorKind::PermissionDenied, message).with_hint("Name the tables that are granted."))
    }

    /// Fails with `permission_denied` where a new table of this name would not be one that it may see.
    pub fn may_create_table(&self, table: &TableName) -> Result<()> {
        if self.can_see_table(table) {
            return Ok(());
        }
        let to = format!("create `{table}`");
        audit::denied(self, &to);
        let message = format!("`{}` has no grant to {to}", self.name());
        Err(Error::new(ErrorKind::PermissionDenied, message).with_hint("Ask for a grant of that name."))
    }

    /// Fails with `permission_denied`, naming statement kind and role.
    pub fn may_run(&self, kind: StatementKind) -> Result<()> {
        self.require(needed_role(kind), &format!("run {}", sql_words(kind)))
    }

    /// Fails with `permission_denied` unless the role is at least this. `to` ends the sentence "may not …".
    pub fn require(&self, role: Role, to: &str) -> Result<()> {
        if self.role() >= role {
            return Ok(());
        }
        audit::denied(self, to);
        let message = format!("`{}` with the role {} may not {to}", self.name(), self.role().name());
        let hint = format!("Ask for the role {}.", role.name());
        Err(Error::new(ErrorKind::PermissionDenied, message).with_hint(hint))
    }
}

fn needed_role(kind: StatementKind) -> Role {
    use StatementKind as K;
    match kind {
        kind if kind.is_read_only() => Role::Read,
        K::Insert | K::CopyTo | K::CreateTableAs | K::CreateExternalTable => Role::Write,
        K::CreateView | K::DropView | K::DropTable => Role::Write,
        _ => Role::Admin,
    }
}

/// `CreateTableAs` as `CREATE TABLE AS`.
fn sql_words(kind: StatementKind) -> String {
    let mut words = String::new();
    for letter in format!("{kind:?}").chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_uppercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use StatementKind as K;

    use super::*;

    #[test]
    fn roles_open_statements_step_by_step() {
        let lowest = |kind| {
            let roles = [Role::Read, Role::Write, Role::Admin];
            *roles.iter().find(|role| Principal::anonymous(**role).may_run(kind).is_ok()).unwrap()
        };
        for kind in [K::Select, K::Explain, K::ExplainAnalyze, K::Show, K::Describe, K::Set] {
            assert_eq!(lowest(kind), Role::Read, "{kind:?}");
        }
        for kind in
            [K::Insert, K::CopyTo, K::CreateTableAs, K::CreateExternalTable, K::CreateView, K::DropView, K::DropTable]
        {
            assert_eq!(lowest(kind), Role::Write, "{kind:?}");
        }
        for kind in [K::CreateDatabase, K::DropDatabase] {
            assert_eq!(lowest(kind), Role::Admin, "{kind:?}");
        }
    }

    #[test]
    fn a_refusal_names_who_what_and_the_way_out() {
        let error = Principal::anonymous(Role::Read).may_run(K::CreateTableAs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.message(), "`anonymous` with the role read may not run CREATE TABLE AS");
        assert_eq!(error.hint(), Some("Ask for the role write."));
    }

    #[test]
    fn the_command_line_and_duties_may_do_everything() {
        assert!(Principal::local().require(Role::Admin, "x").is_ok());
        assert_eq!(Principal::system("crawler").name(), "system:crawler");
        assert!(Principal::system("crawler").may_run(K::DropDatabase).is_ok());
    }
}
