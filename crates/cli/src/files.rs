//! Files of the person at the command line: written whole or not at all, read from a path or stdin.

use std::{
    io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write},
    path::{Path, PathBuf},
};

use ferry_client::ClientError;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::failure::Failure;

fn unusable(doing: &str, path: &Path, error: &io::Error) -> Failure {
    ClientError::file("FILE_UNUSABLE", format!("{doing} {}: {error}", path.display())).into()
}

/// The first line of an export is shorter.
const FIRST_LINE_BYTES_MAX: u64 = 64 << 10;

/// Refuses a path where something else stands than an earlier export, whose first line has `member` with this value, or
/// an empty file.
pub(crate) fn check_replaceable(path: &Path, member: &str, value: &str) -> Result<(), Failure> {
    let is_earlier = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unusable("writing", path, &error)),
        Ok(found) if !found.is_file() => false,
        Ok(found) if found.len() == 0 => true,
        Ok(_) => {
            let line = first_line(path).map_err(|error| unusable("reading", path, &error))?;
            serde_json::from_slice::<Value>(&line).is_ok_and(|header| header[member] == value)
        }
    };
    if is_earlier {
        return Ok(());
    }
    let message = format!(
        "{} exists already and is no earlier export: name another file, or move this one away first",
        path.display()
    );
    Err(ClientError::conflict("FILE_EXISTS", message).into())
}

fn first_line(path: &Path) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let file = BufReader::new(std::fs::File::open(path)?);
    file.take(FIRST_LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// A file that appears when it is whole.
pub(crate) struct PartialFile<'a> {
    path: &'a Path,
    out: BufWriter<NamedTempFile>,
}

impl<'a> PartialFile<'a> {
    /// Begins the file that will stand at `path`.
    pub(crate) fn new(path: &'a Path) -> Result<Self, Failure> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(folder).map_err(|error| unusable("writing", path, &error))?;
        Ok(Self { path, out: BufWriter::new(file) })
    }

    /// Where its content goes.
    pub(crate) fn out(&mut self) -> &mut (dyn Write + Send) {
        &mut self.out
    }

    /// Has it appear.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let failed = |error: &io::Error| unusable("writing", self.path, error);
        let file = self.out.into_inner().map_err(|error| failed(error.error()))?;
        file.as_file().sync_all().map_err(|error| failed(&error))?;
        file.persist(self.path).map_err(|error| failed(&error.error))?;
        Ok(())
    }
}

/// Whether `path` means stdin or stdout.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The file at `path`, or stdin for `-`.
pub(crate) async fn opened(path: PathBuf) -> Result<tokio::fs::File, Failure> {
    if is_dash(&path) {
        return spooled(path, |out| Ok(io::copy(&mut io::stdin(), out).map(drop)?)).await;
    }
    tokio::fs::File::open(&path).await.map_err(|error| unusable("reading", &path, &error))
}

/// What `write` writes, in a file that vanishes; it stands at its beginning.
pub(crate) async fn spooled(
    source: PathBuf,
    write: impl FnOnce(&mut dyn io::Write) -> Result<(), Failure> + Send + 'static,
) -> Result<tokio::fs::File, Failure> {
    let spool = move || {
        let failed = |error: io::Error| unusable("writing a copy of", &source, &error);
        let mut out = BufWriter::new(tempfile::tempfile().map_err(failed)?);
        write(&mut out)?;
        let mut file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.rewind().map_err(failed)?;
        Ok(tokio::fs::File::from_std(file))
    };
    let joined = tokio::task::spawn_blocking(spool).await;
    joined.map_err(|error| Failure::other(format!("reading panicked: {error}")))?
}
