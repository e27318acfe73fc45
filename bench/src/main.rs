//! Side-by-side benchmarks. `cargo run --release -p ferry-bench -- [actor|control|pages|bodies|pushes|growth|copies|captures|backups|small|memory|scale|events|records|ops|functions|traces|sends|all]`
//! prints Markdown tables; the figures of record stand in bench/RESULTS.md.

mod actor;
mod backups;
mod bare_sends;
mod beside;
mod binary;
mod captures;
mod clock;
mod control;
mod copies;
mod cpu;
mod events;
mod functions;
mod load;
mod memory;
mod ops;
mod page_bodies;
mod page_images;
mod page_pushes;
mod pages;
mod records;
mod scale;
mod small_pushes;
mod table;
mod traces;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo run --release -p ferry-bench -- [actor|control|pages|bodies|pushes|growth|copies|captures|backups|small|memory|scale|events|records|ops|functions|traces|sends|all]\n\n\
  actor   durable commits per second and CPU per commit, beside a bare SQLite loop\n  \
  control what it costs to be let in: RPCs, logins, start, beside /healthz and bare Argon2id\n  \
  pages   hub CPU, bytes and memory of push and pull over EdgeReplica's wire\n  \
  bodies  bytes and hub CPU of what changed between versions, over Ferry's own page wire\n  \
  pushes  the same the other way, beside EdgeReplica's wire and sqlite3_rsync
  \
  growth  what no change and one row cost, by the size of the database
  \
  copies  ferry push and pull of databases of 10 MB to 1 GB: bytes and CPU must not grow\n  \
  captures  what it costs that versions are captured, and how soon followers have them\n  \
  backups what backups cost a hub and those who write beside, and how fast they are restored; has options\n  \
  small   how long small pushes take whose client leaves Nagle's algorithm on\n  \
  memory  memory of an open and of a closed database\n  \
  scale   20,000 databases under a limit of 1,024 open files; has options\n  \
  events  the hub beside LiveStore's own backend and a Durable Streams server; has options\n  \
  records the hub beside PocketBase; has options\n  \
  ops     the engine of op-log sync beside a naive log; has options\n  \
  functions the hub beside a Durable Object under workerd; has options\n  \
  traces  what it costs a hub that requests are traced
  \
  sends   what the kernel alone takes to send a frame to 500 sockets\n\n\
Files are made under the temporary folder (TMPDIR): point it at the disk to be measured.";

fn main() -> ExitCode {
    if cfg!(debug_assertions) && std::env::var_os("FERRY_BENCH_SMOKE").is_none() {
        eprintln!(
            "a debug build measures nothing: add --release (FERRY_BENCH_SMOKE=1 tries it all the same)"
        );
        return ExitCode::from(2);
    }
    table::print_machine();
    let mut words = std::env::args().skip(1);
    let which = words.next().unwrap_or_else(|| "all".into());
    match which.as_str() {
        "actor" => actor::run(),
        "control" => control::run(),
        "pages" => pages::run(),
        "bodies" => page_bodies::run(),
        "pushes" => page_pushes::run(),
        "growth" => page_pushes::growth(),
        "copies" => copies::run(),
        "captures" => captures::run(),
        "backups" => return backups::run(words),
        "small" => small_pushes::run(),
        "memory" => memory::run(),
        "scale" => return scale::run(words),
        "events" => return events::run(words),
        "records" => return records::run(words),
        "ops" => return ops::run(words),
        "functions" => return functions::run(words),
        "traces" => traces::run(),
        "sends" => bare_sends::run(),
        "all" => {
            actor::run();
            memory::run();
            control::run();
            pages::run();
            page_bodies::run();
            page_pushes::run();
            page_pushes::growth();
            copies::run();
            captures::run();
            backups::run([]);
            scale::run([]);
            small_pushes::run();
            bare_sends::run();
            traces::run();
            events::run([]);
            records::run([]);
            ops::run([]);
            return functions::run([]);
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
