//! Whose records there are, and where.

use ferry_client::{
    ClientError, ClientErrorCode,
    admin::{DatabaseName, nearest},
    records::{Collection, CollectionInfo, RecordsClient},
};
use ferry_types::{Code, Op};

use super::Whose;
use crate::{
    context::Context,
    failure::Failure,
    output,
    table::{Cell, Column, Table},
};

#[derive(Debug, clap::Args)]
pub(crate) struct OwnersArgs {
    /// Id, name or org/name; with FERRY_SYNC_TOKEN also -: the token's
    db: DatabaseName,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AppsArgs {
    #[command(flatten)]
    whose: Whose,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CollectionsArgs {
    #[command(flatten)]
    whose: Whose,
    /// The app [default: all]
    app: Option<String>,
}

/// `u_…\t2\t41\t2026-01-01T10:05:00.000Z`.
pub(super) async fn owners(context: &Context, args: OwnersArgs) -> Result<(), Failure> {
    let whose = Whose { db: args.db, owner: None };
    let owners = whose.client(context, Op::Admin).await?.owners().await?;
    if context.json {
        return output::json(&owners);
    }
    if owners.is_empty() {
        output::note("(nobody has records)");
    }
    let [apps, records] = ["APPS", "RECORDS"].map(|header| Column::whole(header).right());
    let mut table = Table::new([Column::whole("OWNER"), apps, records, Column::whole("LAST WRITTEN")]);
    for shown in &owners {
        let last = Cell::rfc3339(shown.last_commit.as_deref().unwrap_or("-"));
        table.row([(&shown.owner).into(), count(shown.apps), count(shown.records), last]);
    }
    table.print()
}

/// `todo\t2\t41`.
pub(super) async fn apps(context: &Context, args: &AppsArgs) -> Result<(), Failure> {
    let apps = args.whose.client(context, Op::Read).await?.apps().await?;
    if context.json {
        return output::json(&apps);
    }
    if apps.is_empty() {
        output::note("(no records)");
    }
    let [collections, records] = ["COLLECTIONS", "RECORDS"].map(|header| Column::whole(header).right());
    let mut table = Table::new([Column::text("APP"), collections, records]);
    for shown in &apps {
        table.row([(&shown.app).into(), count(shown.collections), count(shown.records)]);
    }
    table.print()
}

/// `todo\ttasks\t41\t3`.
pub(super) async fn collections(context: &Context, args: &CollectionsArgs) -> Result<(), Failure> {
    let client = args.whose.client(context, Op::Read).await?;
    let collections = client.collections(args.app.as_deref()).await?;
    if context.json {
        return output::json(&collections);
    }
    if collections.is_empty() {
        output::note("(no records)");
    }
    let [records, deleted] = ["RECORDS", "DELETED"].map(|header| Column::whole(header).right());
    let mut table = Table::new([Column::text("APP"), Column::text("COLLECTION"), records, deleted]);
    for shown in &collections {
        let [records, deleted] = [count(shown.records), count(shown.deleted)];
        table.row([(&shown.app).into(), (&shown.collection).into(), records, deleted]);
    }
    table.print()
}

fn count(number: u64) -> Cell {
    Cell::new(&number, output::count(number))
}

/// Says why a list is empty: nothing is there now, or it was never there under this name, or it is another's.
///
/// # Errors
/// Unless the collection is the owner's, or nobody is known to have any.
pub(super) async fn explain_none(
    context: &Context,
    whose: &Whose,
    client: &RecordsClient,
    wanted: Collection<'_>,
) -> Result<(), Failure> {
    let theirs = client.collections(None).await?;
    let is_it = |shown: &CollectionInfo| shown.app == wanted.app && shown.collection == wanted.name;
    if theirs.iter().any(is_it) {
        output::note("(no records)");
        return Ok(());
    }
    let name = format!("{}/{}", wanted.app, wanted.name);
    let path = |shown: &CollectionInfo| format!("{}/{}", shown.app, shown.collection);
    let names: Vec<_> = theirs.iter().map(path).collect();
    // In an app that is right, its collections are compared alone: what is before them is alike.
    let within = theirs.iter().filter(|shown| shown.app == wanted.app);
    let meant = match nearest(wanted.name, within.map(|shown| shown.collection.as_str())) {
        Some(collection) => Some(format!("{}/{collection}", wanted.app)),
        None => {
            let elsewhere = theirs.iter().filter(|shown| shown.app != wanted.app).map(path);
            nearest(&name, elsewhere.collect::<Vec<_>>().iter().map(String::as_str)).map(str::to_owned)
        }
    };
    let message = match meant {
        Some(meant) => format!("no records in {name}; did you mean {meant}?"),
        None if !names.is_empty() => format!("no records in {name}; there are: {}", output::some_of(&names)),
        None => match others(context, whose).await {
            Some(others) => format!("no records of yours in {name}; {others}"),
            None => {
                output::note("(no records)");
                return Ok(());
            }
        },
    };
    Err(ClientError::new(ClientErrorCode::Table(Code::NotFound), "NOT_FOUND", message).into())
}

/// Who else has records, if the caller, who has none, may know.
async fn others(context: &Context, whose: &Whose) -> Option<String> {
    if whose.owner.is_some() {
        return None;
    }
    let owners = whose.client(context, Op::Admin).await.ok()?.owners().await.ok()?;
    let names: Vec<String> = owners.into_iter().map(|shown| shown.owner).collect();
    let first = names.first()?;
    Some(format!("others have some, {}: look with --owner {first}", output::some_of(&names)))
}
