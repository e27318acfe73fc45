//! A database whose pages nobody asks for is captured as long as a version is kept, and no longer.

use std::sync::atomic::AtomicI64;

use super::*;

const DAY_MS: i64 = 24 * 3_600_000;

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

// Verifies: PAG-40, PAG-49
#[test]
fn who_is_not_asked_for_pages_for_long_captures_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hand(AtomicI64::new(1_700_000_000_000)));
    let mut hub = Hub::new(dir.path());
    let begin = |hub: &Hub, rescan| {
        let clock = Arc::<Hand>::clone(&clock);
        let opened = |frames: &Arc<AtomicU64>| {
            Replica::open_captured(dir.path(), ReplicaConfig::default(), clock, Box::new(()), frames, rescan)
        };
        hub.slot.try_open(opened).unwrap();
        hub.slot.get()
    };
    let day = || clock.0.fetch_add(DAY_MS, Ordering::Relaxed);
    hub.run("CREATE TABLE t(x)");
    let first = begin(&hub, Rescan::Allowed).unwrap().current();
    let write = |hub: &mut Hub, days: u32| {
        for _ in 0..days {
            day();
            hub.run("INSERT INTO t VALUES (randomblob(2000))");
            if let Some(replica) = hub.slot.get() {
                replica.capture().unwrap();
            }
        }
    };
    write(&mut hub, 29);
    hub.slot.get().expect("it is captured for as long as a version is kept").touch();
    write(&mut hub, 20);
    // What was asked is known after a restart, too.
    hub.close();
    hub.writer = Some(Writer::open(&hub.main()).unwrap());
    hub.writer.as_mut().unwrap().captured_by(Arc::clone(&hub.slot)).unwrap();
    assert!(begin(&hub, Rescan::Refused).is_some());
    write(&mut hub, 9);
    assert!(hub.slot.get().is_some());
    write(&mut hub, 3);
    assert!(hub.slot.get().is_none(), "nobody asked for 32 days");
    assert!(CaptureSlot::was_captured(dir.path()));
    hub.close();
    hub.writer = Some(Writer::open(&hub.main()).unwrap());
    hub.writer.as_mut().unwrap().captured_by(Arc::clone(&hub.slot)).unwrap();
    assert!(begin(&hub, Rescan::Refused).is_none());
    assert!(!dir.path().join("pages").exists(), "its files are gone");
    hub.run("INSERT INTO t VALUES (1)");
    // Who asks again gets the newest; the older ones are no longer there.
    let replica = begin(&hub, Rescan::Allowed).unwrap();
    assert!(served(&replica.pin()) == image_of(&hub.main()));
    assert!(replica.pin_at(At::Tag(first.tag())).unwrap().is_none());
}
