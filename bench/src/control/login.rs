//! Logins beside bare Argon2id, and pushes while logins queue.

use std::{
    path::Path,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use ferry_auth::password::Hasher;
use ferry_testkit::{
    Direction, Hub, Session, edgereplica,
    rpc::{FERRY, PASSWORD},
    sample, wait,
};

use super::SECONDS;
use crate::{load, table};

/// Logins and hashes of a round.
const LOGINS: u32 = 40;
/// Rounds, in turns.
const ROUNDS: usize = 3;
/// Parallel logins while pushes are timed.
const STORM: u32 = 200;
/// How long a client that got BUSY waits before it tries again, at least; twice as long at most, each another time, as
/// clients back off.
const BUSY_PAUSE: Duration = Duration::from_secs(1);
/// Pushes timed without and with the storm.
const PUSHES: usize = 1000;

pub(super) fn run(ferry: &Path) {
    let (hub, user) = super::hub(ferry);
    let body = format!(r#"{{"email":"{}","password":"{PASSWORD}"}}"#, user.email);
    let login = load::request(hub.address(), "POST", &format!("/{FERRY}/Login"), "", &body);
    beside_bare_argon2(&hub, &login);
    beside_pushes(&hub, &user, &login);
}

/// CPU of a login, and of the one hash in it.
fn beside_bare_argon2(hub: &Hub, login: &[u8]) {
    let hasher = Hasher::new(19_456, 2, 1).expect("the parameters of the hub's default");
    let stored = hasher.hash(PASSWORD, [7; 16]).expect("the machine has the memory");
    let own = || load::usage(std::process::id()).cpu_ms;

    let (mut bare_ms, mut login_ms) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = own();
        for _ in 0..LOGINS {
            std::hint::black_box(hasher.verify(PASSWORD, Some(&stored)));
        }
        bare_ms.push((own() - before) as f64 / f64::from(LOGINS));
        let mut connection = load::Connection::open(hub.address());
        let before = load::usage(hub.pid()).cpu_ms;
        for _ in 0..LOGINS {
            assert_eq!(connection.ask(login), 200, "the login is accepted");
        }
        login_ms.push((load::usage(hub.pid()).cpu_ms - before) as f64 / f64::from(LOGINS));
    }
    let (bare, login_cpu) = (table::median(&mut bare_ms), table::median(&mut login_ms));
    table::print(
        "Login beside bare Argon2id",
        &format!(
            "m=19456 KiB, t=2, p=1; CPU of the process. A login also commits its session (WAL, synchronous=FULL). \
             Medians of {ROUNDS} rounds of {LOGINS}."
        ),
        &["work", "CPU ms each", "ratio", "bar"],
        &[
            vec!["bare Argon2id verification".into(), format!("{bare:.2}"), "1.00".into(), "–".into()],
            vec![
                "Login".into(),
                format!("{login_cpu:.2}"),
                format!("{:.2}", login_cpu / bare),
                "≤ 1.1".into(),
            ],
        ],
    );
}

/// How long pushes take while nobody logs in, and while very many do.
fn beside_pushes(hub: &Hub, user: &Session, login: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("small.db");
    sample::standard(&file, 1_000, 1);
    let database = user.create_database("pushed");
    let token = user.sync_token(&database, Direction::Push);
    let push = || {
        let (took, report) = wait::timed(|| edgereplica::push(hub.address(), &token, &file));
        report.expect("the push is accepted");
        took.as_secs_f64() * 1e3
    };
    push();
    let mut idle: Vec<f64> = (0..PUSHES).map(|_| push()).collect();
    let (over, answered) = ((Mutex::new(false), Condvar::new()), AtomicU64::new(0));
    // Sleeping, so that the storm itself takes nothing from what is measured.
    let is_over = |pause: Duration| {
        let waited =
            over.1.wait_timeout_while(over.0.lock().expect("BUG: nobody panics"), pause, |over| !*over);
        *waited.expect("BUG: nobody panics").0
    };
    let mut busy = Vec::new();
    thread::scope(|scope| {
        for client in 0..STORM {
            let (answered, is_over) = (&answered, &is_over);
            scope.spawn(move || {
                let mut connection = load::Connection::open(hub.address());
                let busy_pause = BUSY_PAUSE + BUSY_PAUSE * client / STORM;
                loop {
                    // Beyond 64 waiting logins the answer is BUSY: come again in a second, as it says.
                    let pause = if connection.ask(login) == 200 { Duration::ZERO } else { busy_pause };
                    answered.fetch_add(1, Ordering::Relaxed);
                    if is_over(pause) {
                        break;
                    }
                }
            });
        }
        wait::within(Duration::from_secs(SECONDS), || (answered.load(Ordering::Relaxed) > 200).then_some(()));
        busy = (0..PUSHES).map(|_| push()).collect();
        *over.0.lock().expect("BUG: nobody panics") = true;
        over.1.notify_all();
    });
    let row = |name: &str, values: &mut Vec<f64>, base: Option<f64>| {
        let (p50, p99) = (load::percentile(values, 0.5), load::percentile(values, 0.99));
        let ratio = base.map_or_else(|| "1.00".to_owned(), |base| format!("{:.2}", p99 / base));
        (vec![name.to_owned(), format!("{p50:.1}"), format!("{p99:.1}"), ratio], p99)
    };
    let (idle_row, idle_p99) = row("no logins", &mut idle, None);
    let (busy_row, _) = row("200 clients that log in again and again", &mut busy, Some(idle_p99));
    table::print(
        "Pushes while logins queue",
        &format!(
            "{PUSHES} pushes of an unchanged file of 1,000 rows over EdgeReplica's wire, each timed by its client on \
             the same two cores as hub and storm. Bar: p99 at most 1.5 × idle."
        ),
        &["beside", "p50 ms", "p99 ms", "ratio of p99"],
        &[idle_row, busy_row],
    );
}
