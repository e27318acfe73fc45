//! `ferry pull DB [FILE]`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ferry_client::{
    ClientError, ClientErrorCode,
    admin::{AdminClient, DatabaseName},
    pages::file::SyncState,
    pages::{PagesClient, PullOptions, Synchronised},
};
use ferry_hub::clock::SystemClock;
use ferry_types::Code;

use crate::{commands::push, context::Context, failure::Failure, progress::Bars};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry pull notes notes.db\n  ferry pull notes             into notes.db\n  \
    ferry pull notes.db          a file that was synced before knows its database"
)]
pub(crate) struct Args {
    /// Id, name or org/name; or a file that was synced before
    db: String,
    /// The SQLite file [default: the database's name with .db]
    file: Option<PathBuf>,
    /// Replace local changes that were never pushed; the local image is saved first
    #[arg(long)]
    force: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let options = PullOptions { force: args.force, only_new: false };
    let (db, file) = match args.file {
        None if knows_its_database(Path::new(&args.db))? => (None, Some(PathBuf::from(args.db))),
        file => (Some(args.db.parse()?), file),
    };
    let pulled = transfer(context, db, file, options).await?;
    push::report(context, "pulled", &pulled)
}

/// Whether the only argument is a file that was synced before, not a database.
fn knows_its_database(path: &Path) -> Result<bool, Failure> {
    Ok(path.is_file() && SyncState::open(path)?.is_some())
}

fn is_unknown(error: &ClientError) -> bool {
    error.code == ClientErrorCode::Table(Code::NotFound)
}

/// Whether there is such a database; one that the file is called by tells that the two were confused.
async fn in_order(
    admin: &AdminClient,
    db: &DatabaseName,
    file: &Path,
    options: PullOptions,
) -> Result<(), Failure> {
    let Err(error) = admin.database(db).await else { return Ok(()) };
    let other: Option<DatabaseName> = file.to_str().and_then(|name| name.parse().ok());
    if let (true, Some(other)) = (is_unknown(&error), other)
        && admin.database(&other).await.is_ok()
    {
        let verb = if options.only_new { "clone" } else { "pull" };
        let message = format!(
            "no database is called {db}: the database comes first, and then the file: ferry {verb} {other} {db}"
        );
        return Err(ClientError { message, ..error }.into());
    }
    Err(error.into())
}

/// Pulls into `file`, else into a file of the database's name in the current directory.
pub(super) async fn transfer(
    context: &Context,
    db: Option<DatabaseName>,
    file: Option<PathBuf>,
    options: PullOptions,
) -> Result<Synchronised, Failure> {
    let admin = context.admin()?;
    let tokens = context.tokens();
    let file = match (file, &db) {
        (Some(file), Some(db)) => {
            in_order(&admin, db, &file, options).await?;
            file
        }
        (Some(file), None) => file,
        (None, Some(db)) => match admin.database(db).await {
            Err(error) if is_unknown(&error) && Path::new(&db.to_string()).is_file() => {
                return Err(ClientError {
                    message: format!(
                        "{db} is a file that was not synced yet, and no database is called so: name the database first, \
                         and then the file: ferry pull DB {db}"
                    ),
                    ..error
                }
                .into());
            }
            found => format!("{}.db", found?.name).into(),
        },
        (None, None) => unreachable!("BUG: clap demands a database or a file"),
    };
    let replica = PagesClient {
        admin: &admin,
        tokens: tokens.as_ref(),
        clock: &SystemClock,
        progress: Arc::new(Bars::new(context.json)),
    };
    Ok(replica.pull(&file, db.as_ref(), options).await?)
}
