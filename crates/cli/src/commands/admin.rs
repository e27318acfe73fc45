//! `ferry admin …`: what the operator of a hub does, with the operator token of its data directory.

mod lineage;
mod mail;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use ferry_client::admin::{AdminClient, rpc};
use serde_json::json;

use super::audit;
use crate::{
    context::Context,
    failure::Failure,
    output,
    password::PasswordArgs,
    system::variable,
    table::{Cell, Column, Table},
};

const VARIABLE: &str = "FERRY_OPERATOR_TOKEN";
/// Where `ferry serve` writes the token unless told otherwise.
const LOCAL_FILE: &str = "ferry-data/operator.token";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File with the operator token: operator.token of the hub's data directory [env: FERRY_OPERATOR_TOKEN, the
    /// token itself; else, for a hub on this machine, ./ferry-data/operator.token]
    #[arg(long, global = true, value_name = "FILE")]
    operator_token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show version, id and size of the hub
    #[command(
        after_help = "Example:\n  ferry admin info --operator-token-file /var/lib/ferry/operator.token"
    )]
    Info,
    /// Show what the hub was started with, and who said so
    #[command(
        after_help = "Example:\n  ferry admin settings --operator-token-file /var/lib/ferry/operator.token"
    )]
    Settings,
    /// List what happened that belongs to no organisation: what operators did, the hub by itself, people not signed in
    #[command(
        after_help = "Examples:\n  ferry admin audit\n  ferry admin audit --action backup --limit 1000"
    )]
    Audit(audit::ListArgs),
    /// Accounts of others
    #[command(subcommand)]
    User(User),
    /// Keys that sign tokens
    #[command(subcommand)]
    Key(Key),
    /// Where a data directory comes from: the hub itself, a copy of it, or an older state. Asks no hub
    #[command(subcommand)]
    Lineage(lineage::Lineage),
    /// Whether the hub can send mail, and what its mails say
    #[command(subcommand)]
    Mail(mail::Mail),
}

#[derive(Debug, Subcommand)]
enum User {
    /// List the accounts: id, address, state, when each was made and seen last
    #[command(
        after_help = "Examples:\n  ferry admin user list\n  ferry admin user list --contains example.com"
    )]
    List {
        /// Only addresses that contain this text
        #[arg(long, value_name = "TEXT", default_value = "")]
        contains: String,
    },
    /// Create an account, also where signing up is closed
    #[command(after_help = "Example:\n  FERRY_PASSWORD=… ferry admin user create me@example.com")]
    Create {
        /// E-mail address of the new account
        email: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Lock a user out and end all its sessions and sync tokens
    #[command(after_help = "Examples:\n  ferry admin user disable eve@example.com\n  \
        ferry admin user disable eve@example.com --undo")]
    Disable {
        /// Id or e-mail address
        user: String,
        /// Let the user in again
        #[arg(long)]
        undo: bool,
    },
    /// Let a user operate the hub on the dashboard, or no longer. Where the hub sends mail, the address must be proven first
    #[command(after_help = "Examples:\n  ferry admin user operator ada@example.com --on\n  \
        ferry admin user operator ada@example.com --off")]
    Operator {
        /// Id or e-mail address
        user: String,
        /// The user may see and do there what the operator token lets
        #[arg(long, required_unless_present = "off", conflicts_with = "off")]
        on: bool,
        /// The user may no longer
        #[arg(long)]
        off: bool,
    },
    /// Make a code with which a user sets a new password
    #[command(after_help = "Example:\n  ferry admin user reset-code me@example.com")]
    ResetCode {
        /// E-mail address of the account
        email: String,
    },
}

#[derive(Debug, Subcommand)]
enum Key {
    /// List the keys: kid, state, time of creation
    #[command(after_help = "Example:\n  ferry admin key list")]
    List,
    /// Sign with a new key; the one before verifies until what it signed is dead
    #[command(after_help = "Example:\n  ferry admin key rotate")]
    Rotate,
    /// Remove a key at once: whatever it signed is void
    #[command(after_help = "Example:\n  ferry admin key retire 9f2a11c0")]
    Retire {
        /// Name of the key, as listed
        kid: String,
    },
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let operator = || operator(context, args.operator_token_file);
    match args.command {
        Command::Info => info(context, &operator()?).await,
        Command::Settings => settings(context, &operator()?).await,
        Command::Audit(args) => hub_audit(context, &operator()?, args).await,
        Command::User(command) => user(context, &operator()?, command).await,
        Command::Key(command) => key(context, &operator()?, command).await,
        Command::Lineage(command) => lineage::run(context.json, command),
        Command::Mail(mail::Mail::Preview(args)) => mail::preview(context.json, args),
        Command::Mail(mail::Mail::Test { email }) => mail::test(context.json, &operator()?, email).await,
    }
}

/// A client with the operator token: the one that is named, else what a hub of this machine that was started in this
/// folder wrote. No other is looked for, and none is sent to another machine without being named.
pub(crate) fn operator(context: &Context, file: Option<PathBuf>) -> Result<AdminClient, Failure> {
    let token = match (file, variable(VARIABLE)) {
        (Some(path), _) => read_token(&path)?,
        (None, Some(token)) => token,
        (None, None) if context.server.is_loopback() && Path::new(LOCAL_FILE).exists() => {
            read_token(Path::new(LOCAL_FILE))?
        }
        (None, None) => {
            return Err(Failure::Usage(format!(
                "the operator token is missing: give --operator-token-file FILE, which is operator.token in the hub's \
                 data directory, or set {VARIABLE} to the token; only for a hub on this machine {LOCAL_FILE} is looked for"
            )));
        }
    };
    Ok(AdminClient::new(&context.server, Some(token.trim()), "")?)
}

fn read_token(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

async fn info(context: &Context, operator: &AdminClient) -> Result<(), Failure> {
    let info = operator.get_server_info(rpc::GetServerInfoRequest::default()).await?;
    if context.json {
        return output::json(&info);
    }
    output::line(format_args!("version: {}", info.version))?;
    output::line(format_args!("hub_id: {}", info.hub_id))?;
    output::line(format_args!("users: {}", info.users))?;
    output::line(format_args!("databases: {}", info.databases))
}

async fn settings(context: &Context, operator: &AdminClient) -> Result<(), Failure> {
    let settings = operator.get_settings(rpc::GetSettingsRequest::default()).await?.settings;
    if context.json {
        return output::json(&settings);
    }
    let mut table = Table::new([Column::whole("SETTING"), Column::text("VALUE"), Column::whole("FROM")]);
    for rpc::Setting { key, value, source, .. } in &settings {
        table.row([key.into(), value.into(), source.into()]);
    }
    table.print()
}

async fn hub_audit(
    context: &Context,
    operator: &AdminClient,
    audit::ListArgs { since, action, limit }: audit::ListArgs,
) -> Result<(), Failure> {
    let request =
        rpc::ListAuditEventsRequest { since_unix: since.into(), action, hub: true, ..Default::default() };
    audit::print(context, &operator.audit_events(request, limit).await?)
}

async fn user(context: &Context, operator: &AdminClient, command: User) -> Result<(), Failure> {
    match command {
        User::List { contains } => {
            let request = rpc::ListUsersRequest { email_contains: contains, ..Default::default() };
            let users = operator.list_users(request).await?;
            if context.json {
                return output::json(&users);
            }
            let mut table = Table::new([
                Column::whole("ID"),
                Column::text("EMAIL"),
                Column::whole("STATE"),
                Column::whole("CREATED"),
                Column::whole("SEEN"),
            ]);
            for rpc::User { user_id, email, disabled, operator, created_unix, last_seen_unix, .. } in &users {
                let state = match (*disabled, *operator) {
                    (true, _) => "disabled",
                    (false, true) => "operator",
                    (false, false) => "active",
                };
                let [created, seen] = [Cell::time(*created_unix), Cell::time(*last_seen_unix)];
                table.row([user_id.into(), email.into(), state.into(), created, seen]);
            }
            table.print()
        }
        User::Create { email, password } => {
            let password = password.read(true).await?;
            let request = rpc::CreateUserRequest { email: email.clone(), password, ..Default::default() };
            let made = operator.create_user(request).await?;
            if context.json {
                return output::json(&made);
            }
            output::row(&[&made.user_id, &email])
        }
        User::Disable { user, undo } => {
            let request =
                rpc::DisableUserRequest { user_id: user.clone(), disabled: !undo, ..Default::default() };
            operator.disable_user(request).await?;
            if context.json {
                return output::json(&json!({}));
            }
            output::line(format_args!("{} {user}", if undo { "enabled" } else { "disabled" }))
        }
        User::Operator { user, on, off: _ } => {
            let request =
                rpc::SetUserOperatorRequest { user_id: user.clone(), operator: on, ..Default::default() };
            operator.set_user_operator(request).await?;
            if context.json {
                return output::json(&json!({}));
            }
            let told = if on { "operates the hub on the dashboard" } else { "no longer operates the hub" };
            output::line(format_args!("{user} {told}"))
        }
        User::ResetCode { email } => {
            let request = rpc::IssuePasswordResetRequest { email, ..Default::default() };
            let issued = operator.issue_password_reset(request).await?;
            if context.json {
                return output::json(&issued);
            }
            output::line(&issued.code)?;
            output::note(format_args!("# expires at unix {}", issued.exp_unix));
            Ok(())
        }
    }
}

async fn key(context: &Context, operator: &AdminClient, command: Key) -> Result<(), Failure> {
    match command {
        Key::List => {
            let keys = operator.list_signing_keys(rpc::ListSigningKeysRequest::default()).await?;
            if context.json {
                return output::json(&keys);
            }
            let [kid, state] = [Column::whole("KID"), Column::text("STATE")];
            let mut table = Table::new([kid, state, Column::whole("CREATED")]);
            for key in &keys {
                table.row([(&key.kid).into(), (&key.state).into(), Cell::time(key.created_unix)]);
            }
            table.print()
        }
        Key::Rotate => {
            let key = operator.rotate_signing_key(rpc::RotateSigningKeyRequest::default()).await?;
            if context.json { output::json(&key) } else { row(&key) }
        }
        Key::Retire { kid } => {
            let request = rpc::RetireSigningKeyRequest { kid: kid.clone(), ..Default::default() };
            operator.retire_signing_key(request).await?;
            if context.json {
                return output::json(&json!({}));
            }
            output::line(format_args!("retired {kid}"))
        }
    }
}

fn row(key: &rpc::SigningKey) -> Result<(), Failure> {
    output::row(&[&key.kid, &key.state, &key.created_unix.to_string()])
}
