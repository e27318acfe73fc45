//! The secret files of the data directory: `keyring.json` and `operator.token`. Mode 0600, written whole or
//! not at all, never overwritten (CFG-02).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use ferry_auth::{SigningKey, StoredKeys, keyring};
use ferry_types::{Result, UnixMillis};
use sha2::{Digest as _, Sha256};

use crate::{
    config::{ControlConfig, StartError},
    credentials::{key_ring::Keys, operator_token::OPERATOR_PREFIX},
    private_files::refuse_wider,
    random,
};

/// The signing keys: those of `session_key` in front of those of `keyring.json`, which the first start makes.
///
/// # Errors
/// When a key is malformed, or the file cannot be read; it is never made anew then (TOK-11).
pub(crate) fn keys(config: &ControlConfig, now: UnixMillis) -> Result<Keys, StartError> {
    let stored = match config.dev {
        true => None,
        false => Some(stored_keys(&key_ring_path(&config.data_dir), now)?),
    };
    let session = match &config.session_key {
        None => Vec::new(),
        Some(text) => keyring::parse_session_keys(text)
            .map_err(|error| StartError(format!("session_key (SESSION_KEY): {error}")))?,
    };
    Ok(Keys { stored, session })
}

fn key_ring_path(data_dir: &Path) -> PathBuf {
    data_dir.join("keyring.json")
}

/// Writes `keyring.json` anew, whole or not at all.
///
/// # Errors
/// When the disk does not take it; the old file then stands.
pub(crate) fn write_keys(data_dir: &Path, keys: &StoredKeys) -> io::Result<()> {
    write_private(&key_ring_path(data_dir), keys.to_json().as_bytes())
}

fn stored_keys(path: &Path, now: UnixMillis) -> Result<StoredKeys, StartError> {
    let failed = |error: &dyn std::fmt::Display| {
        StartError(format!(
            "{}: {error}; restore the file from a backup: without its keys every issued token is void",
            path.display()
        ))
    };
    if let Some(text) = read_private(path)? {
        return StoredKeys::parse(&text).map_err(|error| failed(&error));
    }
    let key = SigningKey::new(random::bytes().map_err(|error| failed(&error))?);
    let keys = StoredKeys::with_key(key, now.as_secs());
    write_private(path, keys.to_json().as_bytes()).map_err(|error| failed(&error))?;
    Ok(keys)
}

/// SHA-256 of the operator token in `operator.token`, which the first start makes.
///
/// # Errors
/// When the file cannot be read or written, or holds no operator token.
pub(crate) fn operator_digest(data_dir: &Path) -> Result<[u8; 32], StartError> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    let path = data_dir.join("operator.token");
    let token = match read_private(&path)? {
        Some(text) => text.trim().to_owned(),
        None => {
            let secret: [u8; 32] = random::bytes().map_err(|error| StartError(error.to_string()))?;
            let token = format!("{OPERATOR_PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
            write_private(&path, format!("{token}\n").as_bytes())
                .map_err(|error| StartError(format!("{}: {error}", path.display())))?;
            token
        }
    };
    let well_formed = token.strip_prefix(OPERATOR_PREFIX).is_some_and(|secret| secret.len() == 43);
    if !well_formed {
        return Err(StartError(format!(
            "{}: it holds no operator token (fop_ and 43 characters); remove it and start again for a new one",
            path.display()
        )));
    }
    Ok(Sha256::digest(token).into())
}

/// The file's text; `None` if there is no such file.
fn read_private(path: &Path) -> Result<Option<String>, StartError> {
    match fs::read_to_string(path) {
        Ok(text) => {
            refuse_wider(path, 0o600)?;
            Ok(Some(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StartError(format!("{}: {error}", path.display()))),
    }
}

/// Writes a file: temporary file, fsync, rename, fsync of the folder.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let folder = path.parent().expect("BUG: the file lies in the data directory");
    File::open(folder)?.sync_all()
}

/// Makes `path` with mode 0600 if it is missing, so that what SQLite creates beside it is private too, and
/// refuses a wider mode.
///
/// # Errors
/// When it cannot be made or is open to others.
pub(crate) fn ensure_private(path: &Path) -> Result<(), StartError> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    opened.map_err(|error| StartError(format!("{}: {error}", path.display())))?;
    refuse_wider(path, 0o600)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use ferry_auth::KeyRing;

    use super::*;
    use crate::credentials::key_ring::dev_ring;
    use crate::tests::config;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn key_ring(config: &ControlConfig, now: UnixMillis) -> Result<KeyRing, StartError> {
        keys(config, now).map(|keys| keys.ring())
    }

    // Verifies: CFG-02, TOK-11
    #[test]
    fn the_ring_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let first = key_ring(&config, UnixMillis(5_000)).unwrap().signing().kid();
        let path = dir.path().join("keyring.json");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(key_ring(&config, UnixMillis(9_000)).unwrap().signing().kid(), first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(key_ring(&config, UnixMillis(0)).unwrap_err().0.contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{").unwrap();
        assert!(key_ring(&config, UnixMillis(0)).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "{", "never made anew");
    }

    // Verifies: TOK-10, TOK-11, CFG-04
    #[test]
    fn session_keys_sign_and_stored_ones_still_verify() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        let stored = key_ring(&config, UnixMillis(0)).unwrap().signing().kid();
        config.session_key = Some("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned());
        let ring = key_ring(&config, UnixMillis(0)).unwrap();
        assert_eq!(ring.signing().kid(), SigningKey::new([1; 32]).kid());
        assert_eq!(ring.called(stored).count(), 1);
        config.session_key = Some("c2hvcnQ=".to_owned());
        let error = key_ring(&config, UnixMillis(0)).unwrap_err().0;
        assert!(error.contains("SESSION_KEY") && !error.contains("c2hvcnQ"), "{error}");
        config.session_key = None;
        config.dev = true;
        assert_eq!(key_ring(&config, UnixMillis(0)).unwrap().signing().kid(), dev_ring().signing().kid());
    }

    // Verifies: CFG-02
    #[test]
    fn the_operator_token_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let digest = operator_digest(dir.path()).unwrap();
        let path = dir.path().join("operator.token");
        assert_eq!(mode(&path), 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim_end().len(), 47);
        assert_eq!(operator_digest(dir.path()).unwrap(), digest);
        fs::write(&path, "fop_short").unwrap();
        assert!(operator_digest(dir.path()).is_err());
    }
}
