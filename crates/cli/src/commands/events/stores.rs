//! Stores as a whole.

use ferry_client::{admin::DatabaseName, events::StoreInfo};
use serde_json::{Value, json};

use super::as_admin;
use crate::{
    context::Context,
    failure::Failure,
    output,
    table::{Cell, Column, Table},
};

/// A store.
#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// Id, name or org/name
    db: DatabaseName,
    /// Id of the store
    store: String,
}

/// A store that something is about to be done to.
#[derive(Debug, clap::Args)]
pub(crate) struct Doomed {
    #[command(flatten)]
    named: Named,
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
        output::confirm_name(&self.named.store, warning).await
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
    let mut table = Table::new([store, state, events, size, Column::whole("LAST PUSH")]);
    for store in &stores {
        let count = output::count(store.count);
        let events = Cell::new(&format_args!("{count} events"), count.as_str());
        let last_push = Cell::rfc3339(store.last_push_at.as_deref().unwrap_or("-"));
        let size = (&output::bytes(store.bytes)).into();
        table.row([(&store.store_id).into(), (&store.state).into(), events, size, last_push]);
    }
    table.print()
}

fn show(context: &Context, store: &StoreInfo) -> Result<(), Failure> {
    if context.json {
        return output::json(store);
    }
    output::line(format_args!("store: {}", store.store_id))?;
    output::line(format_args!("state: {}", store.state))?;
    output::line(format_args!("head: {}", store.head))?;
    output::line(format_args!("events: {}", output::count(store.count)))?;
    output::line(format_args!("size: {}", output::bytes(store.bytes)))?;
    output::line(format_args!("backend id: {}", store.backend_id))?;
    output::line(format_args!("table: {}", store.table))?;
    output::line(format_args!("subscribers: {} ({} lagging)", store.subscribers, store.lagging))?;
    output::line(format_args!("last push: {}", store.last_push_at.as_deref().unwrap_or("never")))
}

pub(super) async fn stat(context: &Context, args: &Named) -> Result<(), Failure> {
    show(context, &as_admin(context, &args.db).await?.stat(&args.store).await?)
}

pub(super) async fn clients(context: &Context, args: &Named) -> Result<(), Failure> {
    let told = as_admin(context, &args.db).await?.clients(&args.store).await?;
    if context.json {
        return output::json(&told);
    }
    let clients = told["clients"].as_array().map_or(&[][..], Vec::as_slice);
    if clients.is_empty() {
        output::note("(no client has pushed since the hub started)");
    }
    let [client, at] = [Column::text("CLIENT"), Column::whole("LAST PUSH")];
    let mut table = Table::new([client, at, Column::text("RESULT"), Column::text("STUCK").if_any()]);
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    for client in clients {
        let at = Cell::rfc3339(&text(&client["lastPushAt"]));
        let (id, result) = (text(&client["clientId"]), text(&client["lastResult"]));
        table.row([(&id).into(), at, (&result).into(), (&stuck(&client["blocked"])).into()]);
    }
    table.print()
}

/// The batch that a client is stuck with, in words; nothing if it is not.
fn stuck(blocked: &Value) -> String {
    if blocked.is_null() {
        return String::new();
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let (first, tries) = (&blocked["firstEvent"], blocked["tries"].as_u64().unwrap_or(0));
    let (name, code) = (text(&first["name"]), text(&blocked["code"]));
    format!("stuck at {} {name}: {code}, {tries} tries", first["seqNum"])
}

pub(super) async fn create(context: &Context, args: &Named) -> Result<(), Failure> {
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

pub(super) async fn resume(context: &Context, args: &Named) -> Result<(), Failure> {
    show(context, &as_admin(context, &args.db).await?.resume(&args.store).await?)
}
