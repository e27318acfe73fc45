//! `ferry`: parse, one match, one call per arm. What a command does is in `commands/`, one file each.

mod args;
mod commands;
mod context;
mod decisions;
mod deploy_words;
mod embedded;
mod examples;
mod failure;
mod files;
mod functions_hub;
mod input;
mod local_hub;
mod log_words;
mod output;
mod password;
mod progress;
mod project;
mod prompt;
mod repeated_warnings;
mod settings;
mod system;
mod table;

use std::{process::ExitCode, time::Duration};

use args::{Arguments, Command};
use context::Context;
use failure::Failure;

/// How long a command that was interrupted may finish what it does to files.
const INTERRUPT_GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    // A process of functions: nothing of the rest concerns it.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == ferry_functions::WORKER_ARGUMENT) {
        system::log_warnings(&[]);
        return ferry_functions::run_worker();
    }
    let arguments = match args::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let json = arguments.global.json;
    // A hub and a spoke run until they are told to stop, and stop in order: they see to signals, a hub also to its log.
    let serves = matches!(&arguments.command, Command::Serve(_) | Command::Spoke(_) | Command::Dev(_));
    match &arguments.command {
        Command::Serve(_) => {}
        // What functions write is shown as they do.
        Command::Dev(_) => system::log_warnings(&["ferry::functions", "ferry_hub::functions"]),
        _ => system::log_warnings(&[]),
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().max_blocking_threads(ferry_hub::server::blocking_threads_max());
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => return output::failure(&Failure::other(format!("cannot start: {error}")), json),
    };
    // Others see to it themselves: where a push is interrupted, there is something to say.
    let sees_to_it = match &arguments.command {
        Command::Demo(demo) => demo.keep,
        Command::Push(_) | Command::Sync(commands::sync::Command::Push(_)) => true,
        _ => serves,
    };
    let ended = runtime.block_on(async {
        tokio::select! {
            // First what the command does on its own: where it asks something, it sees to Ctrl-C too.
            biased;
            result = run(arguments) => result,
            () = system::interrupted(), if !sees_to_it => Err(Failure::Interrupted(None)),
        }
    });
    // Work on files that already runs goes on to its end, so that an interrupt leaves them whole.
    runtime.shutdown_timeout(INTERRUPT_GRACE);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output::failure(&failure, json),
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let global = arguments.global;
    let context = || Context::new(global.clone());
    match arguments.command {
        Command::Serve(args) => commands::serve::run(args).await,
        Command::Init(args) => commands::init::run(global.json, args).await,
        Command::Dev(args) => commands::dev::run(args).await,
        Command::Deploy(args) => commands::deploy::run(context()?, args).await,
        Command::Migrations(args) => commands::migrations::run(context()?, args).await,
        Command::Run(args) => commands::run::run(context()?, args).await,
        Command::Logs(args) => commands::logs::run(context()?, args).await,
        Command::Info(args) => commands::info::run(context()?, args).await,
        Command::Codegen(args) => commands::codegen::run(context()?, args).await,
        Command::Signup(args) => commands::signup::run(&context()?, args).await,
        Command::Login(args) => commands::login::run(&context()?, args).await,
        Command::Logout(args) => commands::logout::run(&context()?, &args).await,
        Command::Oauth(command) => commands::oauth::run(&context()?, command).await,
        Command::Whoami => commands::whoami::run(&context()?).await,
        Command::Db(command) => commands::db::run(&context()?, command).await,
        Command::Token(command) => commands::token::run(&context()?, command).await,
        Command::Key(command) => commands::key::run(&context()?, command).await,
        Command::Jwt(command) => commands::jwt::run(&context()?, command).await,
        Command::Connection(command) => commands::connection::run(&context()?, command).await,
        Command::Session(command) => commands::session::run(&context()?, command).await,
        Command::Password(command) => commands::password::run(&context()?, command).await,
        Command::Account(command) => commands::account::run(&context()?, command).await,
        Command::Events(command) => commands::events::run(&context()?, command).await,
        Command::Records(command) => commands::records::run(&context()?, command).await,
        Command::Spoke(args) => commands::spoke::run(&global, args).await,
        Command::Ops(args) => commands::ops::run(&context()?, args).await,
        Command::Org(command) => commands::org::run(&context()?, command).await,
        Command::Member(command) => commands::member::run(&context()?, command).await,
        Command::Invite(command) => commands::invite::run(&context()?, command).await,
        Command::Audit(args) => commands::audit::run(&context()?, args).await,
        Command::Profile(command) => commands::profile::run(&global, command),
        Command::Admin(args) => commands::admin::run(&context()?, args).await,
        Command::Backup(args) => commands::backup::run(&context()?, args).await,
        Command::Push(args) => commands::push::run(&context()?, args).await,
        Command::Pull(args) => commands::pull::run(&context()?, args).await,
        Command::Clone(args) => commands::clone::run(&context()?, args).await,
        Command::Follow(args) => commands::follow::run(&context()?, args).await,
        Command::Wait(args) => commands::wait::run(&context()?, args).await,
        Command::Status(args) => commands::status::run(&context()?, args).await,
        Command::Diff(args) => commands::diff::run(&context()?, args).await,
        Command::Verify(args) => commands::verify::run(&context()?, args).await,
        Command::Versions(args) => commands::versions::run(&context()?, args).await,
        Command::Restore(args) => commands::restore::run(&context()?, args).await,
        Command::Fork(args) => commands::fork::run(&context()?, args).await,
        Command::Sync(command) => commands::sync::run(&context()?, command).await,
        Command::Demo(args) => commands::demo::run(&context()?, args).await,
        Command::Health(args) => commands::health::run(global.clone(), args).await,
        Command::Doctor(args) => commands::doctor::run(global.clone(), &args).await,
        Command::UpgradeCheck(args) => commands::upgrade_check::run(global.json, &args),
        Command::Man(args) => commands::man::run(global.json, &args, args::grammar()),
        Command::Completions(args) => commands::completions::run(&args, args::grammar()),
    }
}
