//! The secret that signs page tokens: configured, or kept in the data folder, so that tokens outlive a restart.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use lakebed_types::{Error, ErrorKind, Result};
use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest, Sha256};

const FILE: &str = "token.key";

/// The secret of the settings, else the data folder's, which the first start makes.
///
/// # Errors
/// `disk_failed` if the file cannot be read or written, or is not such a secret.
pub(crate) fn token_secret(configured: Option<&str>, data_dir: &Path) -> Result<[u8; 32]> {
    if let Some(text) = configured {
        return Ok(Sha256::digest(text).into());
    }
    let path = data_dir.join(FILE);
    let secret = match fs::read(&path) {
        Ok(bytes) => bytes.try_into().map_err(|_| io::Error::other("it does not have 32 bytes")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path),
        Err(error) => Err(error),
    };
    secret.and_then(|secret| close_to_others(&path).map(|()| secret)).map_err(|error| {
        Error::new(ErrorKind::DiskFailed, format!("the secret {} cannot be used: {error}", path.display()))
            .with_hint("Remove the file to have a new one made; page tokens given out before then end.")
    })
}

/// The file has its name only once it is whole.
fn make(path: &Path) -> io::Result<[u8; 32]> {
    let mut secret = [0; 32];
    OsRng.try_fill_bytes(&mut secret).map_err(io::Error::other)?;
    let part = path.with_extension("key.part");
    let mut file = private(&part)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    Ok(secret)
}

fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Whoever can read the secret can make tokens.
#[cfg(unix)]
fn close_to_others(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the secret of page tokens was open to other users of this machine");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn close_to_others(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_secret_and_each_folder_another() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = token_secret(None, one.path()).unwrap();
        assert_eq!(token_secret(None, one.path()).unwrap(), first);
        assert_ne!(token_secret(None, other.path()).unwrap(), first);
        let configured = token_secret(Some("horse"), one.path()).unwrap();
        assert_eq!(token_secret(Some("horse"), other.path()).unwrap(), configured);
        assert_ne!(configured, first);
    }

    #[test]
    fn a_damaged_secret_is_not_replaced_in_silence() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "short").unwrap();
        assert_eq!(token_secret(None, dir.path()).unwrap_err().kind(), ErrorKind::DiskFailed);
    }

    #[cfg(unix)]
    #[test]
    fn only_this_user_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let secret = token_secret(None, dir.path()).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(token_secret(None, dir.path()).unwrap(), secret);
        assert_eq!(mode(), 0o600);
    }
}
