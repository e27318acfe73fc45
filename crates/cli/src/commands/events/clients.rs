//! Who gets on, who is stuck, and what to do about it.

use std::io::{self, IsTerminal as _};

use ferry_client::{ClientError, admin::DatabaseName, events::Suspect};
use serde::Deserialize;

use super::{as_admin, stores::ahead};
use crate::{
    context::Context,
    failure::Failure,
    output,
    table::{Cell, Column, Table},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry events clients app my-store\n  ferry events clients app")]
pub(crate) struct ClientsArgs {
    /// Id, name or org/name
    db: DatabaseName,
    /// Id of the store [default: all, and connections that name none]
    store: Option<String>,
}

#[derive(Deserialize)]
struct ClientsReply {
    clients: Vec<Pushing>,
    #[serde(default)]
    refused: Vec<Refused>,
    #[serde(default)]
    suspect: Option<Suspect>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pushing {
    #[serde(default)]
    store: String,
    client_id: String,
    last_push_at: String,
    last_result: String,
    blocked: Option<Trouble>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Refused {
    store: String,
    who: String,
    last_try_at: String,
    refused: Trouble,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trouble {
    first_event: Option<FirstEvent>,
    code: String,
    tries: u64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    advice: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FirstEvent {
    seq_num: i64,
    name: String,
}

impl Trouble {
    /// `REJECTED, 3 tries`.
    fn short(&self) -> String {
        format!("{}, {} tries", self.code, self.tries)
    }

    /// `no; your onPush hook refuses it for ever: …`.
    fn why(&self) -> String {
        format!("{}; {}", self.message, self.advice)
    }
}

/// The list, and what does not fit into its columns on a terminal.
struct List {
    table: Table<5>,
    reasons: Vec<String>,
}

impl List {
    /// `has_store`: a store was asked for, so that programs need no column for it.
    const fn new(has_store: bool) -> Self {
        let store = Column::text("STORE");
        let store = if has_store { store.not_piped() } else { store };
        let [client, at] = [Column::text("CLIENT"), Column::whole("LAST SEEN")];
        let [result, stuck] = [Column::text("RESULT"), Column::text("STUCK").if_any()];
        Self { table: Table::new([store, client, at, result, stuck]), reasons: Vec::new() }
    }

    fn row(&mut self, [store, who, at, result]: [&str; 4], stuck: Cell) {
        self.table.row([store.into(), who.into(), Cell::rfc3339(at), result.into(), stuck]);
    }

    /// What a client is stuck at, with the reason and what to do: beside it for programs, below the table for people.
    fn stuck(&mut self, who: &str, at: &str, trouble: &Trouble) -> Cell {
        let (short, why) = (format!("{at}: {}", trouble.short()), trouble.why());
        let reason = format!("{who}: {why}");
        // One client may be stuck so in many stores.
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
        Cell::new(&format!("{short}: {why}"), short)
    }

    fn pushing(&mut self, client: &Pushing) {
        let Pushing { store, client_id, last_push_at, last_result, blocked } = client;
        let stuck = blocked.as_ref().map(|trouble| {
            let at =
                trouble.first_event.as_ref().map(|first| format!(" at {} {}", first.seq_num, first.name));
            self.stuck(client_id, &format!("stuck{}", at.unwrap_or_default()), trouble)
        });
        self.row([store, client_id, last_push_at, last_result], stuck.unwrap_or_else(|| "".into()));
    }

    fn refused(&mut self, connection: &Refused) {
        let Refused { store, who, last_try_at, refused } = connection;
        let stuck = self.stuck(who, &format!("not let in to {store:?}"), refused);
        self.row([store, who, last_try_at, &refused.code], stuck);
    }

    fn print(&self) -> Result<(), Failure> {
        self.table.print()?;
        if !io::stdout().is_terminal() {
            return Ok(());
        }
        self.reasons.iter().try_for_each(output::line)
    }
}

pub(super) async fn run(context: &Context, args: &ClientsArgs) -> Result<(), Failure> {
    let reply = as_admin(context, &args.db).await?.clients(args.store.as_deref()).await?;
    if context.json {
        return output::json(&reply);
    }
    let reply: ClientsReply = serde_json::from_value(reply)
        .map_err(|error| ClientError::unverified(format!("the hub told no clients: {error}")))?;
    if reply.clients.is_empty() {
        output::note("(no client has pushed since the hub started)");
    }
    let mut list = List::new(args.store.is_some());
    reply.clients.iter().for_each(|client| list.pushing(client));
    reply.refused.iter().for_each(|connection| list.refused(connection));
    for device in reply.suspect.iter().flat_map(|suspect| &suspect.devices) {
        let store = args.store.as_deref().unwrap_or_default();
        list.row([store, &device.device, &device.since, "ahead"], (&ahead(device)).into());
    }
    list.print()
}
