//! What was answered is on disk: kill -9 in the middle of concurrent writes loses nothing that was acknowledged
//! and leaves nothing half done.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    thread,
};

use ferry_testkit::wait;
use serde_json::json;

use crate::support::{Place, control_db};

#[test]
fn kill_9_under_concurrent_writers_keeps_every_acknowledged_write_whole() {
    let mut place = Place::new();
    for round in 0..4 {
        let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (user, acknowledged) = (place.user.clone(), Arc::clone(&acknowledged));
                thread::spawn(move || {
                    for number in 0.. {
                        let name = format!("r{round}-w{writer}-{number}");
                        // A hub that was killed answers nothing; the call helper panics then and ends this writer.
                        user.edgereplica("CreateDatabase", &json!({"name": name})).unwrap();
                        acknowledged.lock().unwrap().insert(name);
                    }
                })
            })
            .collect();
        wait::until("some writes", || (acknowledged.lock().unwrap().len() >= 40 + 30 * round).then_some(()));
        place.hub.kill();
        for writer in writers {
            assert!(writer.join().is_err(), "the writer outlived the hub");
        }
        place = place.restarted();
        let control = control_db(&place.hub);
        let mut names = control.prepare("SELECT name FROM databases").unwrap();
        let stored: BTreeSet<String> =
            names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let acknowledged = acknowledged.lock().unwrap();
        let lost: Vec<_> = acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        // One transaction each: a database without its audit row would be half a write.
        let halves: i64 = control
            .query_row(
                "SELECT count(*) FROM databases WHERE NOT EXISTS \
                 (SELECT 1 FROM audit WHERE audit.database_id = databases.id OR audit.target = databases.id)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(halves, 0, "databases without an audit row");
        let check: String = control.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
    }
}
