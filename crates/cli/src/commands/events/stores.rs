//! Stores as a whole.

use ferry_client::{
    admin::DatabaseName,
    events::{AheadDevice, StoreInfo},
};
use serde_json::json;

use super::as_admin;
use crate::{
    context::Context,
    failure::Failure,
    output, prompt,
    table::{Cell, Column, Table},
};

/// A store.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreArgs {
    /// Id, name or org/name
    db: DatabaseName,
    /// Id of the store
    store: String,
}

/// A store that something is about to be done to.
#[derive(Debug, clap::Args)]
pub(crate) struct Doomed {
    #[command(flatten)]
    named: StoreArgs,
    /// Why; kept with the store
    #[arg(long, default_value = "")]
    reason: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Doomed {
    /// Asks, unless told not to.
    async fn confirmed(&self, doing: &str, warning: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        output::require_terminal(doing)?;
        prompt::confirm_name(&self.named.store, warning).await
    }
}

pub(super) async fn list(context: &Context, db: &DatabaseName) -> Result<(), Failure> {
    let stores = as_admin(context, db).await?.stores().await?;
    if context.json {
        return output::json(&stores);
    }
    if stores.is_empty() {
        output::note("(no stores)");
    }
    let [store, state] = [Column::text("STORE"), Column::text("STATE")];
    let [events, size] = [Column::whole("EVENTS").right(), Column::whole("SIZE").right()];
    let last = [Column::whole("LAST PUSH"), Column::text("REMARK").if_any()];
    let mut table = Table::new([store, state, events, size, last[0], last[1]]);
    for store in &stores {
        let count = output::count(store.count);
        let events = Cell::new(&format_args!("{count} events"), count.as_str());
        let last_push = Cell::rfc3339(store.last_push_at.as_deref().unwrap_or("-"));
        let size = (&output::bytes(store.bytes)).into();
        let remark = (&remark(store)).into();
        table.row([(&store.store_id).into(), (&store.state).into(), events, size, last_push, remark]);
    }
    table.print()
}

/// What an operator must know of a store beside its numbers; mostly nothing.
fn remark(store: &StoreInfo) -> String {
    let reason = store.hold_reason.as_ref().map(|reason| format!("held: {reason}"));
    let suspect = store.suspect.as_ref().and_then(|suspect| {
        let lowest = suspect.devices.first()?;
        let others = match suspect.devices.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Some(format!("{}{others}", ahead(lowest)))
    });
    let parts: Vec<String> = reason.into_iter().chain(suspect).collect();
    parts.join("; ")
}

/// `client-a holds event 10, 5 ahead of the log`.
pub(super) fn ahead(device: &AheadDevice) -> String {
    format!("{} holds event {}, {} ahead of the log", device.device, device.at, device.ahead_by)
}

fn show(context: &Context, store: &StoreInfo) -> Result<(), Failure> {
    if context.json {
        return output::json(store);
    }
    output::line(format_args!("store: {}", store.store_id))?;
    let why = store.hold_reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    output::line(format_args!("state: {}{why}", store.state))?;
    output::line(format_args!("head: {}", store.head))?;
    output::line(format_args!("events: {}", output::count(store.count)))?;
    output::line(format_args!("size: {}", output::bytes(store.bytes)))?;
    output::line(format_args!("backend id: {}", store.backend_id))?;
    output::line(format_args!("table: {}", store.table))?;
    output::line(format_args!("subscribers: {} ({} lagging)", store.subscribers, store.lagging))?;
    output::line(format_args!("last push: {}", store.last_push_at.as_deref().unwrap_or("never")))?;
    let Some(suspect) = &store.suspect else { return Ok(()) };
    output::line(format_args!("suspect: it is held before it reaches event {}", suspect.at))?;
    suspect.devices.iter().try_for_each(|device| {
        output::line(format_args!("ahead: {} ({} since {})", ahead(device), device.call, device.since))
    })
}

pub(super) async fn stat(context: &Context, args: &StoreArgs) -> Result<(), Failure> {
    show(context, &as_admin(context, &args.db).await?.stat(&args.store).await?)
}

pub(super) async fn create(context: &Context, args: &StoreArgs) -> Result<(), Failure> {
    show(context, &as_admin(context, &args.db).await?.create(&args.store).await?)
}

pub(super) async fn delete(context: &Context, args: &Doomed) -> Result<(), Failure> {
    let client = as_admin(context, &args.named.db).await?;
    let store = client.stat(&args.named.store).await?;
    let warning = format!("this deletes {} and its {} events", store.store_id, store.count);
    args.confirmed("delete the store", &warning).await?;
    client.delete(&args.named.store).await?;
    if context.json {
        return output::json(&json!({}));
    }
    output::line(format_args!("deleted {}", args.named.store))
}

pub(super) async fn reset(context: &Context, args: &Doomed) -> Result<(), Failure> {
    let client = as_admin(context, &args.named.db).await?;
    let store = client.stat(&args.named.store).await?;
    let warning = format!(
        "this deletes the {} events of {}, and its clients wipe their copies, unpushed work included",
        store.count, store.store_id
    );
    args.confirmed("empty the store", &warning).await?;
    show(context, &client.reset(&args.named.store, &args.reason).await?)
}

pub(super) async fn remint(context: &Context, args: &Doomed) -> Result<(), Failure> {
    if args.reason.is_empty() {
        return Err(Failure::Usage("say why with --reason: it is kept with the store".to_owned()));
    }
    let client = as_admin(context, &args.named.db).await?;
    let warning = format!(
        "the clients of {} wipe their copies and pull again, and lose unpushed work",
        args.named.store
    );
    args.confirmed("give the store a new identity", &warning).await?;
    show(context, &client.remint(&args.named.store, &args.reason).await?)
}

pub(super) async fn resume(context: &Context, args: &StoreArgs) -> Result<(), Failure> {
    show(context, &as_admin(context, &args.db).await?.resume(&args.store).await?)
}
