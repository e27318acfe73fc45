//! Reading and replacing one small file of settings: whole or not at all, and for its owner alone.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use crate::failure::Failure;

/// The text of a file; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Configuration(format!("cannot read {}: {error}", path.display()))),
    }
}

/// Changes a file under a lock, so that two commands at once lose nothing: `change` gets the present text and
/// gives the new one. The new text goes to a temporary file of mode 0600, to disk, and then in place of the
/// old by a rename: a crash leaves the old or the new file.
pub(super) fn update(
    path: &Path,
    change: impl FnOnce(Option<String>) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let cannot = |what: &str, error: &io::Error| {
        Failure::Configuration(format!("cannot {what} {}: {error}", path.display()))
    };
    let dir = path.parent().expect("BUG: a file of settings lies in a directory");
    make_private_directory(dir).map_err(|error| cannot("make the directory of", &error))?;
    // Never removed: whoever waits for it must wait for the same file.
    let lock = private_file(&path.with_extension("lock")).map_err(|error| cannot("lock", &error))?;
    lock.lock().map_err(|error| cannot("lock", &error))?;
    let text = change(read(path)?)?;
    write_whole(dir, path, &text).map_err(|error| cannot("write", &error))
}

fn write_whole(dir: &Path, path: &Path, text: &str) -> io::Result<()> {
    // Temporary files of this crate are created with mode 0600.
    let mut file = tempfile::Builder::new().prefix(".ferry-").suffix(".tmp").tempfile_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn make_private_directory(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(not(unix))]
fn make_private_directory(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: CLI-05
    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone_even_if_it_was_not() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/credentials.toml");
        update(&path, |_| Ok("a".into())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        update(&path, |old| Ok(old.unwrap() + "b")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "ab");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        let left: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "only the file and its lock: {left:?}");
    }

    // Verifies: CLI-05
    #[test]
    fn concurrent_writers_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.toml");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        update(&path, |old| Ok(old.unwrap_or_default() + "x")).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap().len(), 80);
    }

    #[test]
    fn a_refused_change_leaves_the_old_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.toml");
        update(&path, |_| Ok("old".into())).unwrap();
        assert!(update(&path, |_| Err(Failure::Usage("no".into()))).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }
}
