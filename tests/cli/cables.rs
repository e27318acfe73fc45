//! Connections that break in the middle of a transfer: it goes on with what is missing (scenario 2).

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
};

use ferry_testkit::{dump::assert_equal, sample};
use rusqlite::Connection;
use serde_json::Value;

use super::sync::{ada, second_machine};
use crate::support::hub;

/// Carries connections to a hub, and cuts the first ones that have carried so much one way.
struct Cable {
    address: SocketAddr,
    carried: Arc<AtomicU64>,
    cuts_left: Arc<AtomicU32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

impl Cable {
    fn cut_after(hub: SocketAddr, way: Way, bytes: u64, cuts: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (carried, cuts_left) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU32::new(cuts)));
        let (count, cuts) = (Arc::clone(&carried), Arc::clone(&cuts_left));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(hub) = TcpStream::connect(hub) else { return };
                for this in [Way::Up, Way::Down] {
                    let (client, hub) = (client.try_clone().unwrap(), hub.try_clone().unwrap());
                    let (count, cuts) = (Arc::clone(&count), Arc::clone(&cuts));
                    let (from, to) = if this == Way::Up { (client, hub) } else { (hub, client) };
                    let limit = if this == way { bytes } else { u64::MAX };
                    thread::spawn(move || carry(from, to, limit, &cuts, (this == way).then_some(&*count)));
                }
            }
        });
        Self { address, carried, cuts_left }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was carried the way that is cut, over all connections.
    fn carried(&self) -> u64 {
        assert_eq!(
            self.cuts_left.load(Ordering::Relaxed),
            0,
            "a connection was to be cut, and none carried so much"
        );
        self.carried.load(Ordering::Relaxed)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, limit: u64, cuts: &AtomicU32, count: Option<&AtomicU64>) {
    let (mut room, mut here) = (vec![0; 16 << 10], 0);
    while let Ok(read) = from.read(&mut room) {
        if read == 0 || to.write_all(&room[..read]).is_err() {
            break;
        }
        here += read as u64;
        if let Some(count) = count {
            count.fetch_add(read as u64, Ordering::Relaxed);
        }
        let cut = here > limit
            && cuts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if cut {
            let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

// Verifies: PAG-25
#[test]
fn broken_transfers_go_on_with_what_is_missing() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    sample::standard(&file, 10, 3);
    std::fs::copy(&file, one.file("whole.db")).unwrap();
    let grow = |name: &str| sample::append(&mut Connection::open(one.file(name)).unwrap(), 40_000, 4);
    grow("whole.db");
    one.ok(&["db", "create", "whole"]);
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap()["wire_bytes"].as_u64().unwrap();
    let whole = json(&one.ok(&["push", "whole.db", "whole", "--json"]));

    let cable = Cable::cut_after(hub.address(), Way::Up, whole / 2, 2);
    let cut = one.clone().env("FERRY_SERVER", &cable.url()).env("FERRY_TOKEN", &session(&one));
    cut.ok(&["push", "app.db", "app"]);
    grow("app.db");
    let last = json(&cut.ok(&["push", "app.db", "app", "--json"]));
    assert!(last < whole * 3 / 4, "{last} of {whole} were sent the last time");
    assert!(cable.carried() < whole * 2, "{} of {whole}", cable.carried());

    let cable = Cable::cut_after(hub.address(), Way::Down, whole / 2, 2);
    let cut = two.clone().env("FERRY_SERVER", &cable.url()).env("FERRY_TOKEN", &session(&two));
    cut.ok(&["clone", "app", "copy.db"]);
    assert!(cable.carried() < whole * 7 / 4, "{} of {whole}", cable.carried());
    assert_equal(&file, &two.file("copy.db"));
}

/// The session of the last login, which is kept under the hub's own address.
fn session(ferry: &ferry_testkit::command::Ferry) -> String {
    let kept = std::fs::read_to_string(ferry.config_dir().join("credentials.toml")).unwrap();
    let line = kept
        .lines()
        .skip_while(|line| !line.ends_with(".session]"))
        .find(|line| line.starts_with("token = "));
    line.unwrap().trim_start_matches("token = ").trim_matches('"').to_owned()
}
