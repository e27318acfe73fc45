//! `ferry status FILE`.

use std::{path::PathBuf, sync::Arc};

use ferry_client::{
    admin::{AdminClient, DatabaseName, rpc},
    pages::{FileStatus, file::Synced},
    progress::Silent,
};
use serde_json::json;

use crate::{context::Context, failure::Failure, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ferry status notes.db")]
pub(crate) struct Args {
    /// A file that was synced before
    file: PathBuf,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let session = context.pages_session()?;
    let client = session.client(Arc::new(Silent));
    let status = client.status(&args.file).await?;
    if context.json {
        return output::json(&document(&status));
    }
    let synced = &status.synced;
    let tag = synced.tag().map_or_else(|| "no version".to_owned(), |tag| tag.to_string());
    let name = if status.hub.is_ok() { named(session.admin(), synced).await } else { synced.name.clone() };
    output::line(format_args!("database  {name} ({}) on {}", synced.database, synced.server))?;
    let changed = match (status.is_changed, status.changed_pages) {
        (false, _) => "unchanged since".to_owned(),
        (true, Some(pages)) => format!("changed since: {}", output::pages(pages)),
        (true, None) => "changed since: every page".to_owned(),
    };
    output::line(format_args!("file      {tag}, {}, {changed}", output::bytes(status.bytes)))?;
    match &status.hub {
        Ok(hub) if Some(*hub) == synced.tag() => output::line(format_args!("hub       {hub}, the same"))?,
        Ok(hub) => output::line(format_args!("hub       {hub}"))?,
        Err(error) => output::line(format_args!("hub       not known: {error}"))?,
    }
    output::line(format_args!("beside    {} of state and base copy", output::bytes(status.beside_bytes)))
}

/// The database's name, with that of its organisation where it is not one's own: another one may have the same.
async fn named(admin: &AdminClient, synced: &Synced) -> String {
    // It is for people: the id says it in any case.
    let found = async {
        let database = admin.database(&DatabaseName::Id(synced.database)).await.ok()?;
        let org = admin
            .list_orgs(rpc::ListOrgsRequest::default())
            .await
            .ok()?
            .into_iter()
            .find(|org| org.id == database.org_id)?;
        (!org.personal).then(|| format!("{}/{}", org.name, database.name))
    };
    found.await.unwrap_or_else(|| synced.name.clone())
}

fn document(status: &FileStatus) -> serde_json::Value {
    json!({
        "database": status.synced.database.to_string(),
        "name": status.synced.name,
        "server": status.synced.server,
        "tag": status.synced.tag().map(|tag| tag.to_string()),
        "root": status.root.to_string(),
        "changed": status.is_changed,
        "changed_pages": status.changed_pages,
        "bytes": status.bytes,
        "beside_bytes": status.beside_bytes,
        "looked_at": status.looked_at.as_str(),
        "hub": status.hub.as_ref().ok().map(ToString::to_string),
        "hub_error": status.hub.as_ref().err().map(ToString::to_string),
    })
}
