//! The command line as it is typed.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ErrorKind};

use crate::{
    commands::{
        account, admin, audit, backup, clone, codegen, completions, connection, db, demo, deploy, dev, diff,
        doctor, events, follow, fork, health, info, init, invite, jwt, key, login, logout, logs, man, member,
        migrations, oauth, ops, org, password, profile, pull, push, records, restore, run, serve, session,
        signup, spoke, status, sync, token, upgrade_check, verify, versions, wait,
    },
    context::Global,
    examples::fitted,
    failure::{self, Failure},
    output,
};

/// Give every app its own SQLite database, and keep copies of it in sync.
#[derive(Debug, Parser)]
#[command(
    name = "ferry",
    version,
    propagate_version = true,
    after_help = "Examples:\n  \
        ferry demo                            a hub, a push, a pull and a proof, on a real file\n  \
        ferry init my-app                     an app with functions; then: npm run dev, ferry deploy\n  \
        ferry serve --dev                     a hub for trying things out\n  \
        ferry signup me@example.com           an account on it\n  \
        ferry db create notes                 a database\n  \
        ferry push notes.db notes             send a file; later: ferry push notes.db\n  \
        ferry clone notes copy.db             get it elsewhere; later: ferry pull notes copy.db\n  \
        ferry follow notes live.db            keep it up to date while you read it\n  \
        ferry spoke --hub-url URL             keep ops on this machine, and sync them; then: ferry ops\n\n\
        Exit codes: 0 ok, 1 other, 2 usage, 3 unauthenticated, 4 permission, 5 not found, 6 conflict,\n\
        7 unreachable, 8 throttled, 9 invalid argument, 10 local file unusable or busy,\n\
        11 verification failed, 12 different, late, or waiting for you, 78 configuration, 130 interrupted."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a hub
    #[command(
        after_help = "Examples:\n  ferry serve --dev                      for trying things out, on this machine alone\n  \
        ferry serve --data-dir /var/lib/ferry --listen 0.0.0.0:8787 --public-url https://hub.example"
    )]
    Serve(serve::Args),
    /// Make a project with functions
    Init(init::Args),
    /// Serve a project's functions on this machine, swapped at each change
    Dev(dev::Args),
    /// Deploy a project's functions to a hub
    Deploy(deploy::Args),
    /// Write, merge and restore what brings databases from schema to schema
    Migrations(migrations::Args),
    /// Call a function
    Run(run::Args),
    /// Show what functions wrote to the console, and how calls failed
    Logs(logs::Args),
    /// Show what is deployed
    Info(info::Args),
    /// Get a client and the types of what is deployed
    Codegen(codegen::Args),
    /// Create an account and log in
    Signup(signup::Args),
    /// Log in
    Login(login::Args),
    /// Log out, ending the session and the sync tokens minted from it
    Logout(logout::Args),
    /// Log in through a provider, or let one vouch for your account
    #[command(subcommand)]
    Oauth(oauth::Command),
    /// Show who is logged in
    #[command(after_help = "Example:\n  ferry whoami --json")]
    Whoami,
    /// Create, list, show, rename and delete databases; mint sync tokens
    #[command(subcommand)]
    Db(db::Command),
    /// List and revoke sync tokens; narrow and look at one
    #[command(subcommand)]
    Token(token::Command),
    /// Create, list, rotate and revoke the API keys of a database
    #[command(subcommand)]
    Key(key::Command),
    /// Show, set, try and remove the JWTs that a database takes
    #[command(subcommand)]
    Jwt(jwt::Command),
    /// List who is connected to a database and who is stuck, and end connections
    #[command(subcommand)]
    Connection(connection::Command),
    /// List and end the sessions of your account
    #[command(subcommand)]
    Session(session::Command),
    /// Change your password, or set a new one with a code
    #[command(subcommand)]
    Password(password::Command),
    /// Confirm your e-mail address, delete your account
    #[command(subcommand)]
    Account(account::Command),
    /// Event logs: stores, exports, events
    #[command(subcommand)]
    Events(events::Command),
    /// Records: read them, their history and lost writes; exports
    #[command(subcommand)]
    Records(records::Command),
    /// Keep ops on this machine, answer apps over a socket, and sync with a hub
    Spoke(spoke::Args),
    /// Ops: write them, read entities, resolve conflicts; over the spoke's socket or at a hub
    Ops(ops::Args),
    /// Create, list, rename and delete organisations, which own databases
    #[command(subcommand)]
    Org(org::Command),
    /// List and remove the members of an organisation, and change their roles
    #[command(subcommand)]
    Member(member::Command),
    /// Invite people to an organisation, and accept an invitation
    #[command(subcommand)]
    Invite(invite::Command),
    /// Read what happened in an organisation
    Audit(audit::Args),
    /// Name hubs and organisations, to change between them
    #[command(subcommand)]
    Profile(profile::Command),
    /// Operate a hub: accounts, signing keys, settings, audit trail, lineage, mail
    Admin(admin::Args),
    /// Take, list, verify, restore and prune backups of a hub
    Backup(backup::Args),
    /// Send a local SQLite file to its database
    Push(push::Args),
    /// Bring a local SQLite file to the hub's newest version
    Pull(pull::Args),
    /// Get a database as a new local SQLite file
    Clone(clone::Args),
    /// Keep a local SQLite file at the hub's newest version, while other programs read it
    Follow(follow::Args),
    /// Wait until a followed file contains a version
    Wait(wait::Args),
    /// Show where a file stands against its database
    Status(status::Args),
    /// Show which tables of a file were changed since it was synced
    Diff(diff::Args),
    /// Compare each page of a file with the hub's version, and have SQLite check it
    Verify(verify::Args),
    /// List the versions of a database that its hub keeps
    Versions(versions::Args),
    /// Make an older version of a database its newest
    Restore(restore::Args),
    /// Make a new database of a version of another
    Fork(fork::Args),
    /// Push or pull with a sync token alone, as EdgeReplica does
    #[command(subcommand)]
    Sync(sync::Command),
    /// Show it all on a real file: a hub, a push, a pull, and the proof that they are equal
    Demo(demo::Args),
    /// Ask a hub whether it is ready
    Health(health::Args),
    /// Look for what is wrong with a hub's settings, data, machine and the way to it
    Doctor(doctor::Args),
    /// Tell what this version would do to the data of an older one
    UpgradeCheck(upgrade_check::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Write the manual pages
    Man(man::Args),
}

/// Parses the command line. Help and mistakes are told here; the code is what to exit with.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    let mut grammar = grammar();
    // In a pipe lines are as long as they are.
    if let Some((width, _)) = terminal_size::terminal_size() {
        grammar = fitted(grammar, usize::from(width.0));
    }
    let parsed = grammar.try_get_matches().and_then(|found| Arguments::from_arg_matches(&found));
    parsed.map_err(|error| {
        let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if !asked && std::env::args_os().any(|argument| argument == "--json") {
            let text = error.render().to_string();
            let usage = Failure::Usage(text.trim_start_matches("error: ").trim_end().to_owned());
            return output::failure(&usage, true);
        }
        // Nothing can be done about a closed stdout or stderr.
        let _ = error.print();
        ExitCode::from(if asked { 0 } else { failure::EXIT_USAGE })
    })
}

/// The whole command line's grammar, for completion scripts.
pub(crate) fn grammar() -> clap::Command {
    Arguments::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_parser_is_consistent() {
        grammar().debug_assert();
    }

    /// The commands in the shell blocks of a page, as words: continued lines joined, comments and redirections
    /// cut. What a shell would fill in is left out.
    fn commands(page: &str) -> Vec<Vec<String>> {
        let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        let lines: Vec<String> = blocks
            .flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let plain = lines.iter().filter(|line| line.starts_with("ferry ") && !line.contains(['$', '…']));
        plain
            .map(|line| {
                let end = [" #", " <", " >", " |", " &"].iter().filter_map(|mark| line.find(mark)).min();
                words(&line[..end.unwrap_or(line.len())])
            })
            .collect()
    }

    /// The words of a command; double quotes keep blanks together.
    fn words(command: &str) -> Vec<String> {
        let mut in_quotes = false;
        let parts = command.split(|c: char| {
            in_quotes ^= c == '"';
            c.is_whitespace() && !in_quotes
        });
        parts.filter(|part| !part.is_empty()).map(|part| part.replace('"', "")).collect()
    }

    #[test]
    fn the_documented_commands_exist() {
        for page in [include_str!("../../../README.md"), include_str!("../../../docs/securing-a-hub.md")] {
            let found = commands(page);
            assert!(found.len() > 5, "{found:?}");
            for words in found {
                if let Err(error) = Arguments::try_parse_from(&words) {
                    panic!("{}: {error}", words.join(" "));
                }
            }
        }
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.has_subcommands() {
                command.get_subcommands().for_each(|child| check(child, &path));
            } else {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains(path.trim()), "{path} has no example");
            }
        }
        check(&grammar(), "");
    }
}
