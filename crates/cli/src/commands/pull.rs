//! `ferry pull DB [FILE]`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ferry_client::{
    ClientError, ClientErrorCode,
    admin::{AdminClient, DatabaseName},
    pages::file::SyncState,
    pages::{PullOptions, Synchronised},
};
use ferry_types::Code;

use crate::{commands::push, context::Context, failure::Failure, progress::Bars};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry pull notes notes.db\n  ferry pull notes             into notes.db\n  \
    ferry pull notes.db          a file that was synced before knows its database\n  \
    ferry pull notes.db --at 41"
)]
pub(crate) struct Args {
    /// Id, name or org/name; or a file that was synced before
    db: String,
    /// The SQLite file [default: the database's name with .db]
    file: Option<PathBuf>,
    /// Replace local changes that were never pushed; the local image is saved first
    #[arg(long)]
    force: bool,
    /// An older version: a number, a tag, or a time such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "VERSION")]
    at: Option<String>,
    /// Keep no base copy beside the file, now and later: half the disk, longer pushes
    #[arg(long)]
    no_base: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let options = PullOptions { force: args.force, only_new: false, at: args.at, no_base: args.no_base };
    let (db, file) = database_and_file(args.db, args.file)?;
    let pulled = transfer(context, db, file, options).await?;
    push::report(context, "pulled", &pulled)
}

/// What is meant by the arguments: a file alone knows its database.
pub(super) fn database_and_file(
    db: String,
    file: Option<PathBuf>,
) -> Result<(Option<DatabaseName>, Option<PathBuf>), Failure> {
    Ok(match file {
        None if knows_its_database(Path::new(&db))? => (None, Some(PathBuf::from(db))),
        file => (Some(db.parse()?), file),
    })
}

/// Whether the only argument is a file that was synced before, not a database.
fn knows_its_database(path: &Path) -> Result<bool, Failure> {
    Ok(path.is_file() && SyncState::open(path)?.is_some())
}

fn is_unknown(error: &ClientError) -> bool {
    error.code == ClientErrorCode::Table(Code::NotFound)
}

/// Whether there is such a database; one that the file is called by tells that the two were confused.
async fn in_order(admin: &AdminClient, db: &DatabaseName, file: &Path, verb: &str) -> Result<(), Failure> {
    let Err(error) = admin.database(db).await else { return Ok(()) };
    let other: Option<DatabaseName> = file.to_str().and_then(|name| name.parse().ok());
    if let (true, Some(other)) = (is_unknown(&error), other)
        && admin.database(&other).await.is_ok()
    {
        let message = format!(
            "no database is called {db}: the database comes first, and then the file: ferry {verb} {other} {db}"
        );
        return Err(ClientError { message, ..error }.into());
    }
    Err(error.into())
}

/// The file that is meant: the one named, else one of the database's name in the current directory.
pub(super) async fn file_of(
    admin: &AdminClient,
    db: Option<&DatabaseName>,
    file: Option<PathBuf>,
    verb: &str,
) -> Result<PathBuf, Failure> {
    match (file, db) {
        (Some(file), Some(db)) => {
            in_order(admin, db, &file, verb).await?;
            Ok(file)
        }
        (Some(file), None) => Ok(file),
        (None, Some(db)) => match admin.database(db).await {
            Err(error) if is_unknown(&error) && Path::new(&db.to_string()).is_file() => {
                let message = format!(
                    "{db} is a file that was not synced yet, and no database is called so: name the database first, and \
                     then the file: ferry {verb} DB {db}"
                );
                Err(ClientError { message, ..error }.into())
            }
            found => Ok(format!("{}.db", found?.name).into()),
        },
        (None, None) => unreachable!("BUG: clap demands a database or a file"),
    }
}

/// Pulls into `file`, else into a file of the database's name in the current directory.
pub(super) async fn transfer(
    context: &Context,
    db: Option<DatabaseName>,
    file: Option<PathBuf>,
    options: PullOptions,
) -> Result<Synchronised, Failure> {
    let session = context.pages_session()?;
    let verb = if options.only_new { "clone" } else { "pull" };
    let file = file_of(session.admin(), db.as_ref(), file, verb).await?;
    let client = session.client(Arc::new(Bars::new(context.json)));
    Ok(client.pull(&file, db.as_ref(), options).await?)
}
