//! Hub and spokes are killed under load (acceptance scenario 7).

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use ferry_testkit::{partition::Link, rng::Rng, spoke::SpokeApp, wait};
use serde_json::json;

use super::{
    Ops,
    spokes::{Site, assert_equal, raw_ops, set_op, settle},
};
use crate::support::fault_points;

/// How often something is killed.
const KILLS: u32 = 20;
/// Ops that are acknowledged before the next kill.
const BETWEEN_KILLS: usize = 15;

/// An app that writes to a spoke, and comes back whenever that dies.
struct Writer {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<String>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    fn start(site: &Site, name: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let (stopped, done) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let socket = site.spoke.socket();
        let thread = thread::spawn(move || {
            let mut count = 0;
            while !stopped.load(Ordering::Relaxed) {
                let Ok(mut app) = SpokeApp::try_connect(&socket) else {
                    thread::yield_now();
                    continue;
                };
                while !stopped.load(Ordering::Relaxed) {
                    count += 1;
                    let op = set_op(&format!("note/{}", count % 7), name, &json!(count));
                    let Some(written) = app.try_call("op.append", &json!({ "ops": [op] })) else { break };
                    let id = written.unwrap()["ops"][0]["id"].as_str().unwrap().to_owned();
                    done.lock().unwrap().push(id);
                }
            }
        });
        Self { stop, acknowledged, thread: Some(thread) }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    fn finish(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.acknowledged.lock().unwrap())
    }
}

// Verifies: OPS-02, OPS-03, OPS-63
#[test]
fn a_spoke_that_dies_between_any_two_steps_of_an_exchange_goes_on_where_its_store_stands() {
    let ops = Ops::new();
    let other = Site::new(&ops);
    let faults = fault_points("spoke.");
    assert_eq!(faults.len(), 2, "{faults:?}");
    for (round, fault) in
        faults.iter().chain(["actor.commit", "actor.committed"].map(String::from).iter()).enumerate()
    {
        other.spoke.set(&format!("there/{round}"), "title", &json!(round));
        other.sync();
        // What it has to push and to pull lies ready before the process that dies begins.
        let site = Site::offline(&ops, |options| options);
        site.spoke.set(&format!("here/{round}"), "title", &json!(round));
        let Site { mut spoke, network } = site;
        spoke.stop();
        network.set(Link::Open);
        for _ in 0..3 {
            // It dies at its first request, answer or commit; if before it listens, so much the better.
            if let Ok(mut dying) =
                spoke.options().clone().env("FERRY_FAULT", &format!("{fault}=kill")).try_start()
            {
                let socket = dying.socket();
                let in_sync = || {
                    let mut app = SpokeApp::try_connect(&socket).ok()?;
                    let status = app.try_call("sync.status", &json!({}))?.ok()?;
                    (status["pending"] == 0 && status["last_success_ms"].is_i64()).then_some(())
                };
                // After some commits nothing is left to be committed.
                wait::until("it dies, or is done", || if dying.has_ended() { Some(()) } else { in_sync() });
            }
        }
        let site = Site { spoke: spoke.restart(), network };
        settle(&[&site, &other]);
        let state = assert_equal(&ops, &[&site, &other]);
        assert_eq!(state[format!("here/{round}")]["fields"]["title"], round, "{fault}");
    }
}

// Verifies: OPS-02, OPS-03, OPS-62, OPS-63
#[test]
fn no_acknowledged_op_is_lost_when_hub_and_spokes_are_killed_under_load() {
    let mut ops = Ops::new();
    let mut sites = vec![Site::new(&ops), Site::new(&ops)];
    let writers = [Writer::start(&sites[0], "left"), Writer::start(&sites[1], "right")];
    let mut random = Rng::new(7);
    for kill in 0..KILLS {
        let before: Vec<usize> = writers.iter().map(Writer::count).collect();
        wait::until("both apps go on", || {
            let goes_on = |(writer, before): (&Writer, &usize)| writer.count() >= before + BETWEEN_KILLS;
            writers.iter().zip(&before).all(goes_on).then_some(())
        });
        match random.below(3) {
            0 => {
                ops = ops.restarted();
                sites.iter().for_each(|site| site.network.set_target(ops.address()));
            }
            victim => {
                let site = sites.remove(usize::try_from(victim).unwrap() - 1);
                sites.insert(usize::try_from(victim).unwrap() - 1, site.restarted(|options| options));
            }
        }
        if kill % 5 == 4 {
            sites.iter().for_each(|site| drop(site.spoke.try_call("sync.now", &json!({}))));
        }
    }
    let acknowledged: Vec<String> = writers.into_iter().flat_map(Writer::finish).collect();
    settle(&[&sites[0], &sites[1]]);
    let state = assert_equal(&ops, &[&sites[0], &sites[1]]);
    let stored = raw_ops(&sites[0].spoke.store());
    let missing: Vec<&String> = acknowledged.iter().filter(|id| !stored.contains_key(*id)).collect();
    assert_eq!(missing, [""; 0], "of {} acknowledged ops", acknowledged.len());
    for site in &sites {
        assert_eq!(site.spoke.status()["pending"], 0);
        assert_eq!(site.spoke.conflicts(), [serde_json::Value::Null; 0], "each app has a field of its own");
    }
    assert_eq!(state.as_object().unwrap().len(), 7);
}
