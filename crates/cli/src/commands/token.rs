//! `ferry token …`: sync tokens after they were minted. Narrowing and looking at one asks no hub (CLI-08).

use clap::Subcommand;
use ferry_auth::{Caveat, Grant, caveat::Restrictions, macaroon};
use ferry_client::admin::{DatabaseName, rpc};
use ferry_types::TokenId;
use serde_json::{Value, json};

use crate::{
    context::Context,
    failure::Failure,
    input, output, system,
    table::{Cell, Column, Table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Narrow a token by caveats and print the new one; asks no hub
    #[command(
        after_help = "Example:\n  ferry db token notes --direction push | ferry token attenuate --ttl 600"
    )]
    Attenuate(AttenuateArgs),
    /// Show the claims and caveats of a token; asks no hub, so that nothing is verified
    #[command(after_help = "Example:\n  ferry token inspect < token.txt")]
    Inspect {
        /// The token; -: standard input, which other users of the machine cannot read
        #[arg(default_value = "-")]
        token: String,
    },
    /// List the live sync tokens of a database
    #[command(after_help = "Example:\n  ferry token list notes")]
    List {
        /// Id, name or org/name
        db: DatabaseName,
    },
    /// Revoke a sync token, and every token narrowed from it
    #[command(after_help = "Examples:\n  ferry token revoke 8c1f0b5e2d7a4c3f9e6b1a0d5c4e7f21\n  \
        ferry token revoke - < token.txt\n  ferry token revoke --all-of notes")]
    Revoke {
        /// Id, as listed, or the token itself; -: standard input
        #[arg(required_unless_present = "all_of", conflicts_with = "all_of")]
        token: Option<String>,
        /// Revoke every sync token of this database
        #[arg(long, value_name = "DB")]
        all_of: Option<DatabaseName>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct AttenuateArgs {
    /// The token; -: standard input, which other users of the machine cannot read
    #[arg(default_value = "-")]
    token: String,
    /// Dead from this Unix second on
    #[arg(long, value_name = "UNIX")]
    exp: Option<u64>,
    /// Dead after so many seconds
    #[arg(long, value_name = "SECONDS", conflicts_with = "exp")]
    ttl: Option<u32>,
    /// Only these operations: read, write, admin
    #[arg(long, value_name = "OPS")]
    op: Option<String>,
    /// Only these sync models
    #[arg(long, value_name = "MODELS")]
    model: Option<String>,
    /// Only this database, by id
    #[arg(long, value_name = "ID")]
    db: Option<String>,
    /// Only tables whose name begins so
    #[arg(long, value_name = "PREFIX")]
    tbl: Option<String>,
    /// Only functions whose name begins so
    #[arg(long = "fn", value_name = "PREFIX")]
    function: Option<String>,
    /// Only from these addresses
    #[arg(long, value_name = "CIDR")]
    ip: Option<String>,
    /// At most so many bytes per UTC day
    #[arg(long, value_name = "N")]
    bytes_per_day: Option<u64>,
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Attenuate(args) => attenuate(context, args),
        Command::Inspect { token } => inspect(context, token),
        Command::List { db } => list(context, &db).await,
        Command::Revoke { token, all_of } => match (token, all_of) {
            (_, Some(db)) => revoke_all(context, &db).await,
            (token, None) => revoke(context, token.unwrap_or_default()).await,
        },
    }
}

impl AttenuateArgs {
    fn caveats(&self) -> Result<Vec<Caveat>, Failure> {
        let ttl = self.ttl.map(|seconds| (system::unix_seconds() + i64::from(seconds)).to_string());
        let named = [
            ("exp", self.exp.map(|at| at.to_string()).or(ttl)),
            ("op", self.op.clone()),
            ("model", self.model.clone()),
            ("db", self.db.clone()),
            ("tbl", self.tbl.clone()),
            ("fn", self.function.clone()),
            ("ip", self.ip.clone()),
            ("bpd", self.bytes_per_day.map(|bytes| bytes.to_string())),
        ];
        let given = named.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        given.map(|text| text.parse().map_err(|error| Failure::Usage(format!("{text}: {error}")))).collect()
    }
}

fn attenuate(context: &Context, args: AttenuateArgs) -> Result<(), Failure> {
    let caveats = args.caveats()?;
    let token = input::given(args.token, "token")?;
    let wrong = |error: ferry_auth::TokenError| Failure::Usage(format!("the token: {error}"));
    let before = macaroon::decode(&token).and_then(|token| token.caveats()).map_err(wrong)?;
    let after = [before.as_slice(), &caveats].concat();
    let combined = |caveats: &[Caveat]| {
        Restrictions::combine(caveats).map_err(|error| Failure::Usage(format!("the caveats: {error}")))
    };
    if combined(&before)? == combined(&after)? {
        output::note("warning: nothing narrows: the new token allows what the old one does");
    }
    let narrowed = macaroon::attenuate(&token, &caveats).map_err(wrong)?;
    if context.json {
        return output::json(&json!({ "token": narrowed }));
    }
    output::line(narrowed)
}

fn inspect(context: &Context, token: String) -> Result<(), Failure> {
    let wrong = |error: ferry_auth::TokenError| Failure::Usage(format!("the token: {error}"));
    let decoded = macaroon::decode(&input::given(token, "token")?).map_err(wrong)?;
    let caveats: Vec<String> = decoded.caveats().map_err(wrong)?.iter().map(ToString::to_string).collect();
    let claims = decoded.claims();
    let mut fields = vec![
        ("kid", json!(format!("{:08x}", claims.kid))),
        ("token_id", json!(claims.token_id.to_string())),
        ("user_id", json!(claims.user_id.to_string())),
        ("org_id", json!(claims.org_id.to_string())),
        ("session_id", json!(claims.session_id.to_string())),
        ("issued_unix", json!(claims.issued_unix)),
        ("expires_unix", json!(claims.expires_unix)),
    ];
    match &claims.grant {
        Grant::Session => fields.insert(0, ("purpose", json!("session"))),
        Grant::Sync { database_id, models, ops, .. } => {
            fields.insert(0, ("purpose", json!("sync")));
            fields.push(("database_id", json!(database_id.to_string())));
            fields.push(("models", json!(models.to_string())));
            fields.push(("ops", json!(ops.to_string())));
        }
    }
    if context.json {
        let mut document: serde_json::Map<String, Value> =
            fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        document.insert("caveats".into(), json!(caveats));
        return output::json(&document);
    }
    for (name, value) in &fields {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        output::line(format_args!("{name}: {text}"))?;
    }
    caveats.iter().try_for_each(|caveat| output::line(format_args!("caveat: {caveat}")))
}

async fn list(context: &Context, db: &DatabaseName) -> Result<(), Failure> {
    let admin = context.admin()?;
    let database = admin.database(db).await?.id;
    let tokens = admin.list_tokens(rpc::ListTokensRequest { database, ..Default::default() }).await?;
    if context.json {
        return output::json(&tokens);
    }
    let mut table = Table::new([
        Column::whole("ID"),
        Column::extra("USER"),
        Column::text("LABEL"),
        Column::extra("MODELS"),
        Column::text("OPS"),
        Column::whole("EXPIRES"),
    ]);
    for token in &tokens {
        let rpc::TokenInfo { token_id, user_id, label, models, ops, exp_unix, .. } = token;
        let (models, ops) = (&models.join(","), &ops.join(","));
        let expires = Cell::time(*exp_unix);
        table.row([token_id.into(), user_id.into(), label.into(), models.into(), ops.into(), expires]);
    }
    table.print()
}

async fn revoke(context: &Context, token: String) -> Result<(), Failure> {
    let text = input::given(token, "token")?;
    let (id, request) = match text.parse::<TokenId>() {
        Ok(id) => (id, rpc::RevokeTokenRequest { token_id: text, ..Default::default() }),
        Err(_) => {
            let decoded = macaroon::decode(&text)
                .map_err(|error| Failure::Usage(format!("neither the id of a token nor a token: {error}")))?;
            (decoded.claims().token_id, rpc::RevokeTokenRequest { token: text, ..Default::default() })
        }
    };
    context.admin()?.revoke_token(request).await?;
    if context.json {
        return output::json(&json!({}));
    }
    output::line(format_args!("revoked {id}"))
}

async fn revoke_all(context: &Context, db: &DatabaseName) -> Result<(), Failure> {
    let admin = context.admin()?;
    let database = admin.database(db).await?.id;
    let request = rpc::RevokeDatabaseTokensRequest { database: database.clone(), ..Default::default() };
    admin.revoke_database_tokens(request).await?;
    if context.json {
        return output::json(&json!({}));
    }
    output::line(format_args!("revoked all tokens of {database}"))
}
