//! `ferry db …`.

mod delete;
mod show;
mod token;

use clap::Subcommand;
use ferry_client::admin::{
    DatabaseName,
    rpc::{Database, ListOrgsRequest},
};
use ferry_types::DatabaseKind;

use crate::{
    context::Context,
    failure::Failure,
    output,
    table::{self, Cell, Column, Table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a database
    #[command(
        after_help = "Examples:\n  ferry db create notes\n  ferry db create notes --kind replica --org team"
    )]
    Create {
        /// 1 to 64 of A-Z a-z 0-9 _ -
        name: String,
        /// Who writes it: the hub's own models, or clients that push a file [default: the first write decides]
        #[arg(long)]
        kind: Option<DatabaseKind>,
    },
    /// List the databases
    #[command(after_help = "Example:\n  ferry db list --json")]
    List,
    /// Show one database: size, version, activity
    #[command(after_help = "Example:\n  ferry db show notes")]
    Show {
        /// Id, name or org/name
        db: DatabaseName,
    },
    /// Rename a database; id, tokens and connections stay
    #[command(after_help = "Example:\n  ferry db rename notes journal")]
    Rename {
        /// Id, name or org/name
        db: DatabaseName,
        /// The new name
        name: String,
    },
    /// Delete a database and its credentials
    Delete(delete::Args),
    /// Mint a sync token and print it
    Token(token::Args),
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create { name, kind } => {
            let kind = kind.map_or("", DatabaseKind::as_str);
            row(context, &context.admin()?.create_database(&name, kind).await?)
        }
        Command::List => list(context).await,
        Command::Show { db } => show::run(context, &db).await,
        Command::Rename { db, name } => {
            let admin = context.admin()?;
            let id = admin.database(&db).await?.id;
            row(context, &admin.rename_database(&id, &name).await?)
        }
        Command::Delete(args) => delete::run(context, args).await,
        Command::Token(args) => token::run(context, args).await,
    }
}

fn row(context: &Context, database: &Database) -> Result<(), Failure> {
    if context.json {
        return output::json(database);
    }
    output::row(&[&database.id, &database.name])
}

/// What is said of a list without databases: whoever has none may be a member where there are some.
async fn none_here(context: &Context) -> String {
    const NONE: &str = "(no databases)";
    if !context.is_own_org() {
        return NONE.to_owned();
    }
    // It is but a hint.
    let orgs = match context.admin() {
        Ok(admin) => admin.list_orgs(ListOrgsRequest::default()).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let others: Vec<_> = orgs.iter().filter(|org| !org.personal).map(|org| org.name.as_str()).collect();
    match others[..] {
        [] => NONE.to_owned(),
        [first, ..] => format!(
            "(no databases of your own; you are a member of {} too: ferry db list --org {first})",
            output::some_of(&others)
        ),
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let databases = context.admin()?.databases().await?;
    if context.json {
        return output::json(&databases);
    }
    if databases.is_empty() {
        output::note(none_here(context).await);
    }
    let [id, name] = [Column::whole("ID"), Column::text("NAME")];
    let [size, age] = [Column::whole("SIZE").right(), Column::whole("AGE").right()];
    let kind = Column::extra("KIND").not_piped();
    let mut table = Table::new([id, name, size.not_piped(), age.not_piped(), kind]);
    for database in &databases {
        let size = Cell::new(&database.size_bytes, output::bytes(database.size_bytes));
        let age = Cell::new(&database.created_at_unix, table::age(database.created_at_unix));
        let kind = (&database.kind).into();
        table.row([(&database.id).into(), (&database.name).into(), size, age, kind]);
    }
    table.print()
}
