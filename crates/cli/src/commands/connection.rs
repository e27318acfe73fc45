//! `ferry connection …`: who is connected to a database.

use clap::Subcommand;
use ferry_client::admin::rpc;
use serde_json::json;

use crate::{
    context::Context,
    failure::Failure,
    output,
    table::{Cell, Column, Table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List connections: id, model, way, whose, client, address, since, how far behind, state; admins see all, others their own
    #[command(after_help = "Example:\n  ferry connection list notes")]
    List {
        /// Id or name of the database
        database: String,
    },
    /// List clients whose writes are refused again and again, with the first of their batch and why; for admins
    #[command(after_help = "Example:\n  ferry connection stuck notes")]
    Stuck {
        /// Id or name of the database
        database: String,
    },
    /// End a connection; its client may come again
    #[command(after_help = "Example:\n  ferry connection close c_19a2b3c4d5e_17")]
    Close {
        /// Id, as listed
        id: String,
    },
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let admin = context.admin()?;
    match command {
        Command::List { database } => {
            let request = rpc::ListConnectionsRequest { database, ..Default::default() };
            let connections = admin.list_connections(request).await?;
            if context.json {
                return output::json(&connections);
            }
            list(&connections)
        }
        Command::Stuck { database } => {
            let stuck = admin.stuck_clients(database).await?;
            if context.json {
                return output::json(&stuck);
            }
            list_stuck(&stuck)
        }
        Command::Close { id } => {
            admin
                .close_connection(rpc::CloseConnectionRequest { id: id.clone(), ..Default::default() })
                .await?;
            if context.json {
                return output::json(&json!({}));
            }
            output::line(format_args!("closed {id}"))
        }
    }
}

fn list(connections: &[rpc::Connection]) -> Result<(), Failure> {
    if connections.is_empty() {
        output::note("(nobody is connected)");
    }
    let mut table = Table::new([
        Column::whole("ID"),
        Column::whole("MODEL"),
        Column::extra("WAY"),
        Column::text("WHO"),
        Column::text("CLIENT"),
        Column::extra("ADDRESS"),
        Column::whole("SINCE"),
        Column::whole("BEHIND"),
        Column::whole("STATE"),
    ]);
    for one in connections {
        let rpc::Connection {
            id,
            model,
            transport,
            principal,
            client,
            ip,
            since_unix,
            behind,
            unit,
            state,
            ..
        } = one;
        let behind = if unit.is_empty() { String::new() } else { format!("{behind} {unit}") };
        table.row([
            id.into(),
            model.into(),
            transport.into(),
            principal.into(),
            client.into(),
            ip.into(),
            Cell::time(*since_unix),
            (&behind).into(),
            state.into(),
        ]);
    }
    table.print()
}

fn list_stuck(stuck: &[rpc::StuckClient]) -> Result<(), Failure> {
    if stuck.is_empty() {
        output::note("(no client is refused again and again)");
    }
    let mut table = Table::new([
        Column::text("CLIENT"),
        Column::whole("MODEL"),
        Column::text("FIRST"),
        Column::whole("CODE"),
        Column::text("MESSAGE"),
        Column::whole("TRIES"),
        Column::whole("LAST"),
    ]);
    for one in stuck {
        let rpc::StuckClient { client, model, first, code, message, tries, last_unix, .. } = one;
        table.row([
            client.into(),
            model.into(),
            first.into(),
            code.into(),
            message.into(),
            (&tries.to_string()).into(),
            Cell::time(*last_unix),
        ]);
    }
    table.print()
}
