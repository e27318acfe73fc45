//! Side-by-side benchmarks. `cargo run --release -p ferry-bench -- [actor|control|pages|memory|all]` prints Markdown tables;
//! the figures of record stand in bench/RESULTS.md.

mod actor;
mod binary;
mod control;
mod load;
mod memory;
mod pages;
mod table;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo run --release -p ferry-bench -- [actor|control|pages|memory|all]\n\n\
  actor   durable commits per second and CPU per commit, beside a bare SQLite loop\n  \
  control what it costs to be let in: RPCs, logins, start, beside /healthz and bare Argon2id\n  \
  pages   hub CPU, bytes and memory of push and pull over EdgeReplica's wire\n  \
  memory  memory of an open and of a closed database\n\n\
Files are made under the temporary folder (TMPDIR): point it at the disk to be measured.";

fn main() -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("a debug build measures nothing: add --release");
        return ExitCode::from(2);
    }
    table::print_machine();
    let which = std::env::args().nth(1).unwrap_or_else(|| "all".into());
    match which.as_str() {
        "actor" => actor::run(),
        "control" => control::run(),
        "pages" => pages::run(),
        "memory" => memory::run(),
        "all" => {
            actor::run();
            memory::run();
            control::run();
            pages::run();
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
