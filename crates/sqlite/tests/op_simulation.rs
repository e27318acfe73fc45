//! Hubs and spokes in a simulated world: thousands of schedules from seeds, on the engine and real SQLite, without I/O.
//! `FERRY_SIMULATION_SEED=n` replays one; `FERRY_SIMULATION_SEEDS=n` runs so many, `FERRY_SIMULATION_FROM=n` from that one
//! on. Seeds that found a fault once run always.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as the test itself may")]

#[path = "simulation/check.rs"]
mod check;
#[path = "simulation/hephd.rs"]
mod hephd;
#[path = "simulation/hub.rs"]
mod hub;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/spoke.rs"]
mod spoke;
#[path = "simulation/world.rs"]
mod world;

use world::{Faults, World};

/// Schedules of each kind that run when nothing else is asked for.
const SEEDS: u64 = 60;

fn run(name: &str, faults: Faults, found: &[u64]) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("FERRY_SIMULATION_SEED") {
        Some(seed) => vec![seed],
        None => {
            let from = number("FERRY_SIMULATION_FROM").unwrap_or(1);
            let seeds = from..from + number("FERRY_SIMULATION_SEEDS").unwrap_or(SEEDS);
            found.iter().copied().chain(seeds).collect()
        }
    };
    let fails = |seed: &u64| {
        let outcome = std::panic::catch_unwind(|| World::new(*seed, faults).run());
        if outcome.is_err() {
            eprintln!("{name}: to replay: FERRY_SIMULATION_SEED={seed}");
        }
        outcome.is_err()
    };
    let failed: Vec<u64> = seeds.into_iter().filter(fails).collect();
    assert!(failed.is_empty(), "{name}: these seeds fail: {failed:?}");
}

// Verifies: OPS-01, OPS-02, OPS-03, OPS-09, OPS-25, OPS-26, OPS-62, OPS-63
#[test]
fn spokes_that_lose_and_repeat_messages_and_crash_end_equal() {
    run("plain", Faults { network: true, crashes: true, ..Faults::default() }, &[]);
}

// Verifies: OPS-10, OPS-11, OPS-12
#[test]
fn spokes_whose_clocks_jump_end_equal() {
    run("clocks", Faults { network: true, crashes: true, clocks: true, ..Faults::default() }, &[]);
}

// Verifies: OPS-40, OPS-41
#[test]
fn spokes_of_a_hub_that_compacts_at_any_moment_end_equal() {
    // A spoke took an edit for one that its hub had merged, since it was no newer.
    let found = &[881];
    run("compaction", Faults { network: true, crashes: true, compaction: true, ..Faults::default() }, found);
}

// Verifies: OPS-31, OPS-32, OPS-33
#[test]
fn a_hub_that_is_put_back_gets_its_ops_again() {
    // 109 tells a hub that does not prove cursors by their op, 355 a spoke that does not ask for what it had stored behind its.
    run(
        "restores",
        Faults { network: true, crashes: true, restores: true, ..Faults::default() },
        &[109, 355],
    );
}

// Verifies: OPS-14
#[test]
fn stores_that_are_copied_and_put_back_lose_nothing() {
    run("clones", Faults { network: true, crashes: true, clones: true, ..Faults::default() }, &[]);
}

// Verifies: OPS-01, OPS-03, OPS-05, OPS-06, OPS-10
#[test]
fn clients_of_hephd_beside_spokes_end_with_every_op() {
    run(
        "hephd",
        Faults { network: true, crashes: true, clocks: true, hephd: true, ..Faults::default() },
        &[],
    );
    let compacted =
        Faults { network: true, crashes: true, compaction: true, hephd: true, ..Faults::default() };
    // 84: a spoke forgot a conflict about a text that its hub had merged, and it had not.
    run("hephd, compaction", compacted, &[84]);
}

// Verifies: OPS-50, OPS-51, OPS-64
#[test]
fn ops_that_were_refused_for_want_of_rights_are_taken_in_the_end() {
    run("rights", Faults { network: true, crashes: true, rights: true, ..Faults::default() }, &[]);
    run("rights, clones", Faults { network: true, rights: true, clones: true, ..Faults::default() }, &[]);
}

// Verifies: OPS-31, OPS-33
#[test]
fn a_log_that_an_operator_empties_is_empty_for_all_and_keeps_what_was_never_there() {
    // A text went on as the client of yrs whose edits had left the log.
    let found = &[704, 714, 799, 830];
    run("discards", Faults { network: true, crashes: true, discards: true, ..Faults::default() }, found);
}

// Verifies: OPS-43
#[test]
fn what_lies_behind_the_horizon_does_not_come_back() {
    run(
        "purges",
        Faults { network: true, crashes: true, compaction: true, purges: true, ..Faults::default() },
        // A spoke dropped what only an op covered that the hub refused later.
        &[113, 150, 156, 241],
    );
}

// Verifies: OPS-12, OPS-14, OPS-25, OPS-33, OPS-41
#[test]
fn all_that_can_happen_at_once_ends_equal() {
    run(
        "all",
        Faults {
            network: true,
            crashes: true,
            clocks: true,
            compaction: true,
            restores: true,
            clones: true,
            rights: true,
            ..Faults::default()
        },
        // 153 to 825: a conflict was dropped for an op that was refused later; an op that waits named by an earlier one.
        // 895 to 2467: a hub that was put back had the op of a cursor again, behind others.
        // 2289: nobody relayed again what was refused.
        // 1261, 1331: a spoke knew what another log had dropped, and an empty hub was given by somebody who had kept it.
        // 526: what a conflict told of an edit inside a compacted text was not asked. 1568, 3909: two such texts had one id.
        &[153, 257, 400, 825, 895, 975, 1843, 2446, 2467, 2289, 1261, 1331, 526, 1568, 3909],
    );
}
