//! Keys as an administrator and a client of the server see them.

use std::time::Duration;

use lakebed_testkit::MockClock;
use lakebed_types::{DatabaseName, TableName};
use parking_lot::Mutex;

use super::*;
use crate::{Access, AdmitOptions, Grants, Limits};

/// A store that remembers, and counts what it is asked to write.
#[derive(Debug, Default)]
struct Shelf {
    keys: Mutex<Vec<ApiKey>>,
    uses: Mutex<Vec<(String, DateTime<Utc>)>>,
}

#[async_trait::async_trait]
impl KeyStore for Shelf {
    async fn load(&self) -> Result<Vec<ApiKey>> {
        Ok(self.keys.lock().clone())
    }

    async fn insert(&self, key: &ApiKey) -> Result<()> {
        self.keys.lock().push(key.clone());
        Ok(())
    }

    async fn revoke(&self, id: &str, revoked: DateTime<Utc>) -> Result<()> {
        self.keys.lock().iter_mut().filter(|key| key.id == id).for_each(|key| key.revoked = Some(revoked));
        Ok(())
    }

    async fn forget(&self, id: &str) -> Result<()> {
        self.keys.lock().retain(|key| key.id != id);
        Ok(())
    }

    async fn record_uses(&self, uses: &[(String, DateTime<Utc>)]) -> Result<()> {
        self.uses.lock().extend_from_slice(uses);
        Ok(())
    }
}

struct Server {
    access: Access,
    shelf: Arc<Shelf>,
    clock: Arc<MockClock>,
}

impl Server {
    async fn start() -> Self {
        Self::over(Arc::new(Shelf::default()), Arc::new(MockClock::new())).await
    }

    async fn over(shelf: Arc<Shelf>, clock: Arc<MockClock>) -> Self {
        let keys = Keys::open(shelf.clone(), Workgroups::in_memory(clock.clone()), clock.clone()).await.unwrap();
        let access = Access::with_keys(Limits::default(), Principal::anonymous(Role::Admin), keys, clock.clone());
        Self { access, shelf, clock }
    }

    async fn restart(self) -> Self {
        Self::over(self.shelf, self.clock).await
    }

    async fn make(&self, name: &str, role: Role) -> (ApiKey, String) {
        let (key, text) = self.try_make(new(name, role)).await.unwrap();
        (key, format!("Bearer {text}"))
    }

    async fn try_make(&self, new: NewKey) -> Result<(ApiKey, KeyText)> {
        self.access.keys().create(&Principal::local(), new).await
    }

    async fn who(&self, header: &str) -> Result<Principal> {
        self.access.authenticate(Some(header), None).await
    }

    async fn refusal(&self, header: Option<&str>) -> (ErrorKind, String) {
        let error = self.access.authenticate(header, None).await.unwrap_err();
        (error.kind(), error.message().to_owned())
    }
}

fn new(name: &str, role: Role) -> NewKey {
    NewKey {
        name: name.to_owned(),
        role,
        grants: Grants::everything(),
        workgroup: DEFAULT_WORKGROUP.into(),
        expires: None,
    }
}

fn refused(message: &str) -> (ErrorKind, String) {
    (ErrorKind::Unauthenticated, message.to_owned())
}

#[tokio::test]
async fn from_the_first_key_on_every_request_needs_one() {
    let server = Server::start().await;
    assert_eq!(server.access.authenticate(None, None).await.unwrap().name(), "anonymous");
    let error = server.try_make(new("eve", Role::Read)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "a server must not lock its administrator out");

    let (_, root) = server.make("root", Role::Admin).await;
    assert_eq!(server.refusal(None).await, refused("this server wants a key"));
    assert_eq!(server.refusal(Some("Bearer secret")).await, refused("the `Authorization` header holds no key"));
    let who = server.who(&root).await.unwrap();
    assert_eq!((who.name(), who.role()), ("root", Role::Admin));
}

#[tokio::test]
async fn a_right_id_with_another_secret_is_wrong() {
    let server = Server::start().await;
    let (key, _) = server.make("root", Role::Admin).await;
    let forged = format!("Bearer lb_{}_{}", key.id, "0".repeat(64));
    assert_eq!(server.refusal(Some(&forged)).await, refused("the key is wrong"));
    let unknown = format!("Bearer lb_{}_{}", "0".repeat(16), "0".repeat(64));
    assert_eq!(server.refusal(Some(&unknown)).await, refused("the key is wrong"));
}

#[tokio::test]
async fn keys_end_by_time_and_by_revocation_also_across_a_restart() {
    let server = Server::start().await;
    let (_, root) = server.make("root", Role::Admin).await;
    let expires = Some(server.clock.now() + chrono::TimeDelta::hours(1));
    let (_, text) = server.try_make(NewKey { expires, ..new("short", Role::Read) }).await.unwrap();
    let short = format!("Bearer {text}");
    let (gone_key, gone) = server.make("gone", Role::Write).await;
    assert!(server.who(&short).await.is_ok() && server.who(&gone).await.is_ok());

    server.access.keys().revoke(&Principal::local(), &gone_key.id).await.unwrap();
    assert_eq!(server.refusal(Some(&gone)).await, refused("the key was revoked"));
    server.clock.advance(Duration::from_secs(3600));
    assert_eq!(server.refusal(Some(&short)).await, refused("the key has expired"));

    let server = server.restart().await;
    assert_eq!(server.refusal(Some(&gone)).await, refused("the key was revoked"));
    assert_eq!(server.refusal(Some(&short)).await, refused("the key has expired"));
    assert!(server.who(&root).await.is_ok());
    assert!(server.access.keys().are_required());
}

#[tokio::test]
async fn a_server_whose_keys_have_all_ended_stays_closed() {
    let server = Server::start().await;
    let expires = Some(server.clock.now() + chrono::TimeDelta::hours(1));
    server.try_make(NewKey { expires, ..new("root", Role::Admin) }).await.unwrap();
    server.clock.advance(Duration::from_secs(7200));
    let server = server.restart().await;
    assert_eq!(server.refusal(None).await.0, ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn revocation_ends_what_runs_and_what_waits() {
    let server = Server::start().await;
    server.make("root", Role::Admin).await;
    let (key, header) = server.make("job", Role::Read).await;
    let (_, other) = server.make("other", Role::Read).await;
    let (who, other) = (server.who(&header).await.unwrap(), server.who(&other).await.unwrap());
    let running = server.access.admit(&who, &AdmitOptions::default()).await.unwrap();
    let others = server.access.admit(&other, &AdmitOptions::default()).await.unwrap();
    server.access.keys().revoke(&Principal::local(), &key.id).await.unwrap();
    assert!(running.cancellation().is_cancelled() && !others.cancellation().is_cancelled());
    let late = server.access.admit(&who, &AdmitOptions::default()).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unauthenticated);
    assert_eq!(server.access.running(), 2, "the refused one gave its place back");
}

#[tokio::test]
async fn there_is_always_an_administrator() {
    let server = Server::start().await;
    let (first, _) = server.make("first", Role::Admin).await;
    server.make("reader", Role::Read).await;
    let keys = server.access.keys();
    let by = Principal::local();
    assert_eq!(keys.revoke(&by, &first.id).await.unwrap_err().kind(), ErrorKind::Conflict);
    server.make("second", Role::Admin).await;
    keys.revoke(&by, "first").await.unwrap();
    keys.revoke(&by, &first.id).await.unwrap();
    assert_eq!(keys.revoke(&by, "0123").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn names_tell_principals_apart() {
    let server = Server::start().await;
    server.make("root", Role::Admin).await;
    assert_eq!(server.try_make(new("root", Role::Read)).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    for bad in ["", "anonymous", "local", "system:crawler", "a b", "a\n", &"x".repeat(65)] {
        let error = server.try_make(new(bad, Role::Read)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{bad:?}");
    }
}

#[tokio::test]
async fn grants_are_for_readers_and_writers() {
    let server = Server::start().await;
    server.make("root", Role::Admin).await;
    let grants = Grants::only(vec!["sales".parse().unwrap()]).unwrap();
    let admin = NewKey { grants: grants.clone(), ..new("half", Role::Admin) };
    assert_eq!(server.try_make(admin).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    let (_, text) = server.try_make(NewKey { grants, ..new("reader", Role::Read) }).await.unwrap();
    let who = server.who(&format!("Bearer {text}")).await.unwrap();
    let table = |name| TableName::parse(name, &DatabaseName::default_database()).unwrap();
    assert!(who.can_see_table(&table("sales.orders")) && !who.can_see_table(&table("hr.people")));
    assert!(!who.sees_everything() && who.may_use_paths("read files").is_err());
}

#[tokio::test]
async fn a_server_that_only_reads_caps_every_key() {
    let clock = Arc::new(MockClock::new());
    let keys = Keys::in_memory(clock.clone());
    let (_, text) = keys.create(&Principal::local(), new("root", Role::Admin)).await.unwrap();
    let access = Access::with_keys(Limits::default(), Principal::anonymous(Role::Read), keys, clock);
    let who = access.authenticate(Some(&format!("Bearer {text}")), None).await.unwrap();
    assert_eq!((who.name(), who.role()), ("root", Role::Read));
}

#[tokio::test]
async fn uses_are_noted_at_most_once_a_minute() {
    let server = Server::start().await;
    let (key, root) = server.make("root", Role::Admin).await;
    let keys = server.access.keys();
    assert_eq!(keys.get(&key.id).unwrap().last_used, None);
    for _ in 0..180 {
        server.who(&root).await.unwrap();
        keys.note_uses().await.unwrap();
        server.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(server.shelf.uses.lock().len(), 3);
    let last = server.clock.now() - chrono::TimeDelta::seconds(1);
    assert_eq!(keys.get(&key.id).unwrap().last_used, Some(last));
}

#[tokio::test]
async fn the_audit_log_tells_who_and_never_a_secret() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || Lines(lines.clone())).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = Server::start().await;
    let (_, root) = server.make("root", Role::Admin).await;
    let (key, reader) = server.make("reader", Role::Read).await;
    for _ in 0..3 {
        server.who(&reader).await.unwrap().require(Role::Admin, "make a key").unwrap_err();
    }
    server.access.keys().revoke(&Principal::local(), "reader").await.unwrap();
    server.refusal(Some(&reader)).await;
    let text = String::from_utf8(log.lock().clone()).unwrap();
    let count = |what: &str| text.lines().filter(|line| line.contains("lakebed::audit") && line.contains(what)).count();
    assert_eq!(count("create key"), 2, "{text}");
    assert_eq!(count("event=\"login\" principal=\"reader\""), 1, "one for all requests in a row: {text}");
    assert_eq!(count("event=\"denied\" principal=\"reader\""), 3, "{text}");
    assert_eq!(count("revoke key"), 1, "{text}");
    assert_eq!(count(&format!("event=\"login failed\" key=\"{}\"", key.id)), 1, "{text}");
    for header in [root, reader] {
        assert!(!text.contains(header.rsplit('_').next().unwrap()), "{text}");
    }
}

/// Where the log of a test goes.
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn wrong_keys_are_slowed_down_and_right_ones_are_not() {
    let server = Server::start().await;
    let (_, root) = server.make("root", Role::Admin).await;
    let wrong = format!("Bearer lb_{}_{}", "0".repeat(16), "0".repeat(64));
    let mut kinds = Vec::new();
    for _ in 0..30 {
        kinds.push(server.refusal(Some(&wrong)).await.0);
    }
    assert!(kinds[..20].iter().all(|kind| *kind == ErrorKind::Unauthenticated));
    assert!(kinds[20..].iter().all(|kind| *kind == ErrorKind::TooManyLogins));
    assert!(server.who(&root).await.is_ok());
    assert_eq!(server.refusal(None).await.0, ErrorKind::Unauthenticated, "who tries nothing fails nothing");
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(server.refusal(Some(&wrong)).await.0, ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_key_works_under_its_workgroup_which_stays_while_it_is_named() {
    let server = Server::start().await;
    let by = Principal::local();
    server.try_make(new("root", Role::Admin)).await.unwrap();
    let reports = || NewKey { workgroup: "reports".into(), ..new("reader", Role::Read) };
    let missing = server.try_make(reports()).await.unwrap_err();
    assert_eq!((missing.kind(), missing.message()), (ErrorKind::NotFound, "there is no workgroup `reports`"));

    let workgroups = server.access.workgroups();
    workgroups.put(&by, "reports", crate::GroupLimits::default()).await.unwrap();
    let (key, text) = server.try_make(reports()).await.unwrap();
    assert_eq!(key.workgroup, "reports");
    let who = server.access.authenticate(Some(&format!("Bearer {text}")), None).await.unwrap();
    assert_eq!(who.workgroup(), "reports");

    let keys = server.access.keys();
    let used = keys.drop_workgroup(&by, "reports").await.unwrap_err();
    let message = "the workgroup `reports` is in use by the keys reader";
    assert_eq!((used.kind(), used.message()), (ErrorKind::Conflict, message));
    keys.revoke(&by, "reader").await.unwrap();
    keys.drop_workgroup(&by, "reports").await.unwrap();
    assert_eq!(keys.drop_workgroup(&by, "reports").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(keys.drop_workgroup(&by, "default").await.unwrap_err().kind(), ErrorKind::Conflict);
}
