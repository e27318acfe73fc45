//! The events themselves.

use std::time::Duration;

use ferry_client::{
    ClientError, ClientErrorCode,
    admin::DatabaseName,
    events::{AppendRequest, EventsClient, LiveItem, NewEvent},
};
use ferry_types::{Code, Op};
use serde_json::{Value, value::RawValue};

use super::{as_admin, as_client};
use crate::{
    context::Context,
    failure::Failure,
    output,
    system::variable,
    table::{Cell, Column, Table},
};

/// Events asked for at a time.
const PAGE_EVENTS: u32 = 1000;
/// Pause before a stream that ended is opened again.
const RECONNECT_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry events tail app --after 262\n  ferry events tail app --store my-store --follow --json"
)]
pub(crate) struct TailArgs {
    /// Id, name or org/name; with FERRY_SYNC_TOKEN also -: the token's
    db: DatabaseName,
    /// Id of the store [default: the only one]
    #[arg(long)]
    store: Option<String>,
    /// Begin behind this number
    #[arg(long, default_value_t = 0, value_name = "N")]
    after: i64,
    /// Go on with each event as it is committed; with --json one document per line
    #[arg(long, short)]
    follow: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry events append app v1.Paid '{\"id\":\"9\"}'\n  \
        ferry events append app v1.Paid '{\"id\":\"9\"}' --parent 262 --idempotency-key payment-9")]
pub(crate) struct AppendArgs {
    /// Id, name or org/name; with FERRY_SYNC_TOKEN also -: the token's
    db: DatabaseName,
    /// Name of the event's type
    name: String,
    /// Its arguments, as JSON
    args: Option<String>,
    /// Id of the store [default: the only one]
    #[arg(long)]
    store: Option<String>,
    /// Refuse unless this is the newest event [default: append behind whatever is]
    #[arg(long, value_name = "N")]
    parent: Option<i64>,
    /// Who appends
    #[arg(long, default_value = "ferry-cli", value_name = "ID")]
    client_id: String,
    /// In which session
    #[arg(long, default_value = "cli", value_name = "ID")]
    session_id: String,
    /// Append once, however often this is run within a day
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub(super) async fn tail(context: &Context, args: &TailArgs) -> Result<(), Failure> {
    let client = as_client(context, &args.db, Op::Read).await?;
    if args.follow {
        return follow(context, &client, args).await;
    }
    let store = args.store.as_deref();
    let (mut after, mut all, mut table) = (args.after, Vec::new(), table());
    loop {
        let page =
            with_advice(context, &args.db, store, client.page(store, after, PAGE_EVENTS).await).await?;
        if context.json {
            all.extend(page.events);
        } else {
            for event in &page.events {
                let [number, at, name, by, args] = Shown::read(event.get())?.fields();
                let at = Cell::rfc3339(&at);
                table.row([(&number).into(), at, (&name).into(), (&by).into(), (&args).into()]);
            }
        }
        after = page.next;
        if !page.has_more {
            break;
        }
    }
    if context.json { output::json(&all) } else { table.print() }
}

/// Prints what is committed until it is interrupted; a stream that ends is opened again behind the last event.
async fn follow(context: &Context, client: &EventsClient, args: &TailArgs) -> Result<(), Failure> {
    let mut after = args.after;
    let store = args.store.as_deref();
    let mut stream = with_advice(context, &args.db, store, client.live(store, after).await).await?;
    loop {
        match stream.next().await? {
            Some(LiveItem::Event(number, event)) => {
                after = number;
                if context.json { output::json_text(&event)? } else { line(&event)? }
            }
            Some(LiveItem::Reset) => {
                output::note("# the store was reset or has a new identity: it begins anew");
                after = 0;
            }
            Some(LiveItem::Bye) => {}
            None => stream = reopened(client, store, after).await?,
        }
    }
}

/// What the hub answered; where it wants a store named, in the words of the command line and with their names.
async fn with_advice<T>(
    context: &Context,
    db: &DatabaseName,
    store: Option<&str>,
    answer: ferry_client::Result<T>,
) -> Result<T, Failure> {
    let mut error = match answer {
        Err(error) if store.is_none() && error.code == ClientErrorCode::Table(Code::NotFound) => error,
        answer => return Ok(answer?),
    };
    error.message = error.message.replace("store=", "--store");
    // The holder of a sync token may not list them.
    if variable("FERRY_SYNC_TOKEN").is_none()
        && let Ok(client) = as_admin(context, db).await
        && let Ok(stores) = client.stores().await
        && !stores.is_empty()
    {
        let names: Vec<_> = stores.iter().map(|found| &*found.store_id).collect();
        error.message.push_str(&format!("; there are: {}", output::some_of(&names)));
    }
    Err(error.into())
}

async fn reopened(
    client: &EventsClient,
    store: Option<&str>,
    after: i64,
) -> Result<ferry_client::events::LiveEvents, Failure> {
    loop {
        tokio::time::sleep(RECONNECT_AFTER).await;
        match client.live(store, after).await {
            Err(error) if is_passing(&error) => output::note(format_args!("# {error}: trying again")),
            opened => return Ok(opened?),
        }
    }
}

/// Whether trying again may help.
fn is_passing(error: &ClientError) -> bool {
    matches!(
        error.code,
        ClientErrorCode::Unreachable | ClientErrorCode::Table(Code::Unavailable | Code::ResourceExhausted)
    )
}

/// What people are shown of an event.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    seq_num: i64,
    created_at: String,
    name: String,
    client_id: String,
    session_id: String,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

impl<'a> Shown<'a> {
    fn read(event: &'a str) -> Result<Self, Failure> {
        let read = serde_json::from_str(event);
        read.map_err(|error| ClientError::unverified(format!("the hub sent no event: {error}")).into())
    }

    /// `263`, `2026-11-20T10:29:48.311Z`, `v1.Paid`, `billing/job-1`, `{"id":"9"}`.
    fn fields(self) -> [String; 5] {
        let by = format!("{}/{}", self.client_id, self.session_id);
        let args = self.args.map_or("", RawValue::get).to_owned();
        [self.seq_num.to_string(), self.created_at, self.name, by, args]
    }
}

fn table() -> Table<5> {
    let [number, at] = [Column::whole("NUMBER").right(), Column::whole("CREATED")];
    Table::new([number, at, Column::text("NAME"), Column::text("BY"), Column::text("ARGUMENTS")])
}

fn line(event: &str) -> Result<(), Failure> {
    let fields = Shown::read(event)?.fields();
    output::row(&fields.each_ref().map(String::as_str))
}

pub(super) async fn append(context: &Context, args: AppendArgs) -> Result<(), Failure> {
    let parse = |text: String| {
        RawValue::from_string(text)
            .map_err(|error| Failure::Usage(format!("the arguments are no JSON: {error}")))
    };
    let request = AppendRequest {
        store: args.store,
        parent_seq_num: args.parent,
        client_id: args.client_id,
        session_id: args.session_id,
        events: vec![NewEvent { name: args.name, args: args.args.map(parse).transpose()? }],
    };
    let client = as_client(context, &args.db, Op::Write).await?;
    let answer = client.append(&request, args.idempotency_key.as_deref()).await;
    let appended: Value = with_advice(context, &args.db, request.store.as_deref(), answer).await?;
    if context.json {
        return output::json(&appended);
    }
    output::line(format_args!("appended {}, commit {}", appended["firstSeqNum"], appended["seq"]))
}
