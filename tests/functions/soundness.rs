//! Nobody who holds a result is forgotten: after each burst of writes every result that a fresh run gives otherwise must have
//! reached whoever holds it. Random schemas, questions and writes from a seed, over the wire, with connections that break.
//!
//! `FERRY_SOUNDNESS_SEED=n` begins with this seed, `FERRY_SOUNDNESS_WRITES=n` goes on until so many writes were made. What
//! runs when is not of the seed: a replay may need several runs.

mod clients;
mod world;

use std::{sync::Arc, thread, time::Duration};

use ferry_testkit::{http, random_sql::Dice, wait};
use serde_json::Value;

use clients::{Client, Shown, page, subscriber};
use world::{Question, World};

/// Writes of one database, and questions of one client.
const WRITES: usize = 120;
const QUESTIONS: usize = 7;
/// A client shows what is so before the hub has answered so many calls, one after the other, each a while behind the last. Time
/// alone would tell little: where others use the machine, neither the hub nor the clients may come to anything for half a minute.
const ANSWERS_MAX: usize = 300;
/// The while between them.
const BETWEEN_ANSWERS: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Counts {
    writes: usize,
    looks: usize,
    compared: usize,
    changed: usize,
}

/// Whether a client shows what a fresh run gives.
fn shows(shown: &Shown, fresh: &Value) -> bool {
    match shown {
        Shown::Nothing => false,
        Shown::Failure(_) => fresh["failed"].is_string(),
        Shown::Data(data) => fresh.get("failed").is_none() && *data == fresh["data"],
    }
}

/// The questions of a client whose answers it does not show, as they are shown and as they are.
fn wrong<'c>(client: &'c Client, fresh: &'c [Value]) -> Vec<(&'c Question, Shown, &'c Value)> {
    let all = client.questions.iter().zip(client.shown()).zip(fresh);
    let all = all.map(|((question, shown), fresh)| (question, shown, fresh));
    all.filter(|(_, shown, fresh)| !shows(shown, fresh)).collect()
}

/// Waits until the clients show what is so. False if that takes too long to find out.
fn look(world: &mut World, clients: &[Arc<Client>], counts: &mut Counts) -> bool {
    counts.looks += 1;
    for client in clients {
        let Some(fresh) = world.fresh(&client.questions) else { return false };
        counts.compared += fresh.len();
        counts.changed += wrong(client, &fresh).len();
        let shows_all = || wrong(client, &fresh).is_empty().then_some(());
        let is_told = (0..ANSWERS_MAX).any(|_| {
            let shown = wait::within(BETWEEN_ANSWERS, shows_all);
            // Of nothing that has to do with functions, so that it wakes nobody.
            let healthy = http::send(world.functions.address(), "GET", "/healthz", &[], b"");
            assert!(healthy.is_ok_and(|answer| answer.status == 200), "the hub answers");
            shown.is_some()
        });
        assert!(
            is_told,
            "{} was not told: {:#?}\nof {:#?}\nit did:\n{}\nafter\n{}\nschema:\n{}",
            client.name,
            wrong(client, &fresh),
            client.questions,
            client.notes(),
            world.log.join("\n"),
            world.schema.statements.join(";\n"),
        );
    }
    true
}

/// What is kept must not be older than what is so.
fn look_at_kept(world: &mut World, client: &Client) {
    let Some(fresh) = world.fresh(&client.questions) else { return };
    let asking = world.functions.page("asking");
    for (Question { function, args }, fresh) in client.questions.iter().zip(&fresh) {
        let answer = asking.call_with(function, args, &[("Ferry-Reactive", "false")]);
        let shown = match answer.status {
            200 => Shown::Data(answer.json()["data"].clone()),
            503 | 504 => continue,
            _ => Shown::Failure(answer.text()),
        };
        assert!(shows(&shown, fresh), "{function} {args} is answered {shown:?}, and is {fresh}");
    }
}

fn one_database(seed: u64, counts: &mut Counts) {
    let mut dice = Dice::new(seed);
    let mut world = World::new(&mut dice);
    for _ in 0..12 {
        world.write(&mut dice);
    }
    let mut make = |kind: &str, number: usize| {
        let questions = (0..QUESTIONS).map(|_| world.question(&mut dice)).collect();
        Client::new(format!("{kind} {number}"), questions)
    };
    let pages: Vec<_> = (0..3).map(|number| make("page", number)).collect();
    let subscribers: Vec<_> = (0..3).map(|number| make("subscriber", number)).collect();
    thread::scope(|scope| {
        // Whoever panics ends the others, too.
        let _ended = Ended(pages.iter().chain(&subscribers).cloned().collect());
        for (number, client) in pages.iter().enumerate() {
            let connection = world.functions.page(&client.name.replace(' ', "-"));
            let dice = Dice::new(seed * 100 + number as u64);
            scope.spawn(move || page(client, &connection, dice));
        }
        for (number, client) in subscribers.iter().enumerate() {
            let connection = world.functions.page(&client.name.replace(' ', "-"));
            let dice = Dice::new(seed * 100 + 50 + number as u64);
            scope.spawn(move || subscriber(client, &connection, dice));
        }
        let mut written = 0;
        while written < WRITES {
            let burst = 1 + dice.below(4);
            for _ in 0..burst {
                world.write(&mut dice);
            }
            written += burst;
            let mut is_quick = look(&mut world, &subscribers, counts);
            if dice.one_in(4) {
                is_quick &= look(&mut world, &pages, counts);
                world.log.clear();
            }
            if !is_quick {
                break;
            }
            if dice.one_in(8) {
                look_at_kept(&mut world, &pages[dice.below(pages.len())]);
            }
        }
        look(&mut world, &pages, counts);
        counts.writes += written;
    });
}

/// Ends the clients.
struct Ended(Vec<Arc<Client>>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.iter().for_each(|client| client.end());
    }
}

// Verifies: FUN-20, FUN-21, FUN-24, FUN-25, FUN-29, FUN-34, FUN-35, FUN-36, FUN-82
#[test]
fn whoever_holds_a_result_is_told_when_it_changes() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (mut seed, mut counts) = (number("FERRY_SOUNDNESS_SEED").unwrap_or(1), Counts::default());
    let writes = number("FERRY_SOUNDNESS_WRITES").map_or(2 * WRITES, |writes| writes as usize);
    while counts.writes < writes {
        println!("FERRY_SOUNDNESS_SEED={seed}");
        one_database(seed, &mut counts);
        seed += 1;
        let Counts { writes, looks, compared, changed } = counts;
        println!(
            "{writes} writes, {looks} looks, {compared} results compared, {changed} not yet told when looked at"
        );
    }
    assert!(counts.changed > 0, "results change");
}
