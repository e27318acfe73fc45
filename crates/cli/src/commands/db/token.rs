//! `ferry db token DB`: mints a sync token.

use clap::ValueEnum;
use ferry_client::admin::{DatabaseName, Direction, TokenWish};
use ferry_types::{Model, Op, UnixMillis};

use crate::{context::Context, failure::Failure, output, system::unix_seconds};

/// How far the hub's clock may be behind this one before a token seems to end early.
const CLOCK_SLACK_SECONDS: i64 = 300;

/// The direction as typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    Push,
    Pull,
}

#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("rights").required(true),
    after_help = "Examples:\n  ferry db token notes --direction pull\n  \
        ferry db token notes --op read,write --model records,events --ttl-seconds 86400"
)]
pub(crate) struct Args {
    /// Id, name or org/name
    db: DatabaseName,
    /// Rights to push or to pull its file
    #[arg(long, group = "rights")]
    direction: Option<Way>,
    /// Rights by operation: read, write, admin
    #[arg(long, group = "rights", value_delimiter = ',', value_name = "OPS")]
    op: Vec<Op>,
    /// Sync models, with --op [default: all]
    #[arg(long, requires = "op", value_delimiter = ',', value_name = "MODELS")]
    model: Vec<Model>,
    /// How long it shall live [default: the hub's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    ttl_seconds: Option<i64>,
    /// Name of the token in lists
    #[arg(long, default_value = "")]
    label: String,
}

pub(super) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let admin = context.admin()?;
    let database = admin.database(&args.db).await?;
    let wish = TokenWish {
        direction: args.direction.map(|way| match way {
            Way::Push => Direction::Push,
            Way::Pull => Direction::Pull,
        }),
        ops: args.op.iter().map(ToString::to_string).collect(),
        models: args.model.iter().map(ToString::to_string).collect(),
        ttl_seconds: args.ttl_seconds.unwrap_or(0),
        label: args.label,
    };
    let asked_unix = unix_seconds();
    let minted = admin.issue_sync_token(&database.id, &wish).await?;
    if context.json {
        return output::json(&minted);
    }
    output::line(&minted.token)?;
    let exp_unix = minted.exp_unix;
    let at = UnixMillis(exp_unix.saturating_mul(1000));
    output::note(format_args!("# expires at unix {exp_unix}, {at}"));
    let wanted = args.ttl_seconds.unwrap_or(0);
    if exp_unix - asked_unix < wanted - CLOCK_SLACK_SECONDS {
        output::note(
            "# earlier than you wanted: a token ends with the session that made it (ferry login begins another), and lives no longer \
             than the hub's max_sync_token_ttl_seconds",
        );
    }
    Ok(())
}
