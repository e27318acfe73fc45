//! `ferry profile …`: named hubs in config.toml. Asks no hub.

use clap::Subcommand;
use serde_json::json;

use crate::{
    context::Global,
    failure::Failure,
    output,
    settings::{self, Profile, profiles},
    table::{Cell, Column, Table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the profiles: name, server, organisation; `*` marks the one in use
    #[command(after_help = "Example:\n  ferry profile list")]
    List,
    /// Use a profile wherever --profile is not given
    #[command(after_help = "Example:\n  ferry profile use work")]
    Use {
        /// Its name
        name: String,
    },
    /// Add a profile from --server, --org or both
    #[command(after_help = "Example:\n  ferry profile add work --server https://hub.example --org team")]
    Add {
        /// Its name: 1 to 64 of A-Z a-z 0-9 _ - .
        name: String,
    },
    /// Remove a profile; what you are logged in to stays
    #[command(after_help = "Example:\n  ferry profile remove work")]
    Remove {
        /// Its name
        name: String,
    },
}

pub(crate) fn run(global: &Global, command: Command) -> Result<(), Failure> {
    let dir = settings::directory()?;
    match command {
        Command::List => {
            let (found, current) = profiles::all(&dir)?;
            let is_current = |name: &str| current.as_deref() == Some(name);
            if global.json {
                let rows = found.iter().map(|(name, profile)| {
                    json!({ "name": name, "server": profile.server, "org": profile.org, "current": is_current(name) })
                });
                return output::json(&rows.collect::<Vec<_>>());
            }
            if found.is_empty() {
                output::note("(no profiles)");
            }
            let [name, server] = [Column::text("NAME"), Column::text("SERVER")];
            let mut table = Table::new([name, server, Column::text("ORG"), Column::whole("IN USE")]);
            for (name, profile) in &found {
                let text = |value: &Option<String>| Cell::from(value.as_deref().unwrap_or_default());
                let mark = if is_current(name) { "*" } else { "" };
                table.row([name.into(), text(&profile.server), text(&profile.org), mark.into()]);
            }
            table.print()
        }
        Command::Use { name } => {
            profiles::select(&dir, &name)?;
            done(global, format_args!("using {name}"))
        }
        Command::Add { .. } if global.cacert.is_some() => Err(Failure::Usage(
            "a profile keeps no --cacert: set FERRY_CACERT to the file instead, and leave --cacert out here"
                .into(),
        )),
        Command::Add { name } => {
            let server = global.server.as_ref().map(ToString::to_string);
            profiles::add(&dir, &name, &Profile { server, org: global.org.clone() })?;
            done(global, format_args!("added {name}; use it with: ferry profile use {name}"))
        }
        Command::Remove { name } => {
            profiles::remove(&dir, &name)?;
            done(global, format_args!("removed {name}"))
        }
    }
}

fn done(global: &Global, line: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    if global.json { output::json(&json!({})) } else { output::line(line) }
}
