//! `ferry key …`: API keys of a database.

use clap::{Subcommand, ValueEnum};
use ferry_client::admin::{DatabaseName, rpc};
use ferry_types::{Model, Op};
use serde_json::json;

use crate::{
    context::Context,
    failure::Failure,
    input::given,
    output, system,
    table::{Cell, Column, Table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an API key and print its value, which nobody can read again
    Create(CreateArgs),
    /// List the keys: id, kind, prefix, label, models, operations, expiry, last use
    #[command(after_help = "Example:\n  ferry key list notes")]
    List {
        /// Id, name or org/name
        db: DatabaseName,
    },
    /// Make a key that replaces another, which lives on for a while; print the new value
    #[command(after_help = "Example:\n  ferry key rotate k_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153 \
        --overlap-seconds 3600")]
    Rotate {
        /// Id, as listed
        id: String,
        /// How long the old key lives on, at most 30 days [default: 86400]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        overlap_seconds: Option<i64>,
    },
    /// End a key at once, and the connections that rest on it
    #[command(after_help = "Example:\n  ferry key revoke k_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153")]
    Revoke {
        /// Id, as listed
        id: String,
    },
}

/// Who may know a key, as typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Publishable,
    Secret,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry key create notes --origin https://app.example.com\n  \
    ferry key create notes --kind secret --model functions --op read,write,admin --label deploy\n  \
    ferry key create notes --kind secret --model events --import < static-token.txt")]
pub(crate) struct CreateArgs {
    /// Id, name or org/name
    db: DatabaseName,
    /// publishable: for web pages and apps; secret: for servers
    #[arg(long, default_value = "publishable")]
    kind: Kind,
    /// Name of the key in lists
    #[arg(long, default_value = "")]
    label: String,
    /// Sync models that it reaches [default: functions]
    #[arg(long, value_delimiter = ',', value_name = "MODELS")]
    model: Vec<Model>,
    /// Its rights: read, write; a secret key also admin [default: read,write]
    #[arg(long, value_delimiter = ',', value_name = "OPS")]
    op: Vec<Op>,
    /// Where web pages that use it are served from; repeat it [default: anywhere]
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,
    /// A function that it may call; repeat it [default: all]
    #[arg(long, value_name = "NAME")]
    function: Vec<String>,
    /// Requests per minute [default: 6000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    per_minute: Option<u32>,
    /// How long it shall live [default: for ever]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    ttl_seconds: Option<i64>,
    /// Take over a value of another system, read from standard input
    #[arg(long)]
    import: bool,
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create(args) => create(context, args).await,
        Command::List { db } => list(context, &db).await,
        Command::Rotate { id, overlap_seconds } => {
            let overlap_seconds = overlap_seconds.unwrap_or(0);
            let request = rpc::RotateApiKeyRequest { id, overlap_seconds, ..Default::default() };
            made(context, &context.admin()?.rotate_api_key(request).await?)
        }
        Command::Revoke { id } => {
            let request = rpc::RevokeApiKeyRequest { id: id.clone(), ..Default::default() };
            context.admin()?.revoke_api_key(request).await?;
            if context.json {
                return output::json(&json!({}));
            }
            output::line(format_args!("revoked {id}"))
        }
    }
}

async fn create(context: &Context, args: CreateArgs) -> Result<(), Failure> {
    let admin = context.admin()?;
    let database = admin.database(&args.db).await?.id;
    let spec = rpc::ApiKey {
        kind: match args.kind {
            Kind::Publishable => "publishable".to_owned(),
            Kind::Secret => "secret".to_owned(),
        },
        label: args.label,
        models: args.model.iter().map(ToString::to_string).collect(),
        ops: args.op.iter().map(ToString::to_string).collect(),
        origins: args.origin,
        functions: args.function,
        per_minute: args.per_minute.unwrap_or(0),
        exp_unix: args.ttl_seconds.map_or(0, |seconds| system::unix_seconds().saturating_add(seconds)),
        value: if args.import { given("-".to_owned(), "key")? } else { String::new() },
        ..Default::default()
    };
    let request = rpc::CreateApiKeyRequest { database, spec: spec.into(), ..Default::default() };
    made(context, &admin.create_api_key(request).await?)
}

/// The value alone on stdout, so that it can be piped; the id, which later commands want, beside it.
fn made(context: &Context, key: &rpc::ApiKey) -> Result<(), Failure> {
    if context.json {
        return output::json(key);
    }
    output::line(&key.value)?;
    output::note(format_args!("# {}; it is not shown again", key.id));
    Ok(())
}

async fn list(context: &Context, db: &DatabaseName) -> Result<(), Failure> {
    let admin = context.admin()?;
    let database = admin.database(db).await?.id;
    let keys = admin.list_api_keys(rpc::ListApiKeysRequest { database, ..Default::default() }).await?;
    if context.json {
        return output::json(&keys);
    }
    let mut table = Table::new([
        Column::whole("ID"),
        Column::text("KIND"),
        Column::extra("PREFIX"),
        Column::text("LABEL"),
        Column::extra("MODELS"),
        Column::extra("OPS"),
        Column::whole("EXPIRES"),
        Column::extra("LAST USED"),
    ]);
    for key in &keys {
        let rpc::ApiKey { id, kind, prefix, label, models, ops, exp_unix, last_used_unix, .. } = key;
        let (models, ops) = (&models.join(","), &ops.join(","));
        let times = [Cell::time(*exp_unix), Cell::time(*last_used_unix)];
        let [expires, used] = times;
        table.row([
            id.into(),
            kind.into(),
            prefix.into(),
            label.into(),
            models.into(),
            ops.into(),
            expires,
            used,
        ]);
    }
    table.print()
}
