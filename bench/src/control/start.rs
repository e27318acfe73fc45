//! How long a hub with very many accounts takes to be ready, and what it holds in memory.

use std::path::Path;

use ferry_sqlite::connection::open_file;
use ferry_testkit::{Hub, hub::Options, wait};
use rusqlite::{OpenFlags, params};
use uuid::Uuid;

use crate::{load, table};

/// Users, each with a personal organisation and a database.
const ACCOUNTS: u128 = 100_000;
/// Starts that are measured.
const ROUNDS: usize = 3;

pub(super) fn run(ferry: &Path) {
    let (mut hub, _) = super::hub(ferry);
    hub.stop();
    fill(&hub);
    let dir = hub.data_dir();
    let (mut ready_ms, mut resident) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (took, mut started) =
            wait::timed(|| Options::new(ferry).env("FERRY_LOG_LEVEL", "warn").data_dir(&dir).start());
        ready_ms.push(took.as_secs_f64() * 1e3);
        resident.push(load::usage(started.pid()).resident_bytes as f64);
        started.stop();
    }
    let (ready, bytes) = (table::median(&mut ready_ms), table::median(&mut resident));
    table::print(
        &format!("Start with {ACCOUNTS} users and databases"),
        &format!(
            "From the start of the process to its first answer, and its resident memory then. Medians of {ROUNDS} starts."
        ),
        &["figure", "value", "bar"],
        &[
            vec!["ready".into(), format!("{ready:.0} ms"), "≤ 1000 ms".into()],
            vec!["resident".into(), format!("{:.1} MiB", bytes / f64::from(1 << 20)), "≤ 80 MiB".into()],
        ],
    );
}

/// Writes the accounts as the hub would have, in one transaction while it stands still.
fn fill(hub: &Hub) {
    let mut connection =
        open_file(&hub.data_dir().join("control.db"), OpenFlags::default()).expect("control.db opens");
    let transaction = connection.transaction().expect("control.db can be written");
    for number in 0..ACCOUNTS {
        let uuid = Uuid::from_u128(0x7000_8000_0000_0000_0000 + number).as_hyphenated().to_string();
        let email = format!("user{number}@example.com");
        let sql = |text: &str, row: &[&dyn rusqlite::ToSql]| {
            transaction
                .prepare_cached(text)
                .and_then(|mut statement| statement.execute(row))
                .expect("the row fits")
        };
        let (user, org, database) = (format!("u_{uuid}"), format!("o_{uuid}"), format!("db_{uuid}"));
        sql("INSERT INTO users(id, email, email_key, created) VALUES (?1, ?2, ?2, 0)", params![user, email]);
        sql(
            "INSERT INTO organizations(id, name, personal, owner_user_id, created) VALUES (?1, ?2, 1, ?3, 0)",
            params![org, format!("{email} (personal)"), user],
        );
        sql(
            "INSERT INTO memberships(user_id, org_id, role, created) VALUES (?1, ?2, 'admin', 0)",
            params![user, org],
        );
        sql(
            "INSERT INTO databases(id, org_id, name, created_by, created) VALUES (?1, ?2, 'app', ?3, 0)",
            params![database, org, user],
        );
    }
    transaction.commit().expect("the accounts are stored");
}
