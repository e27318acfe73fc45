//! A process may die at every point of a push; and every point may fail.

use super::*;

/// The files as a killed process leaves them.
pub(super) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

struct Scenario {
    name: &'static str,
    before: Option<Pages>,
    after: Pages,
}

fn scenarios() -> Vec<Scenario> {
    let source = Source::new("PRAGMA auto_vacuum=1", 900);
    let first = source.pages();
    source.run("UPDATE t SET text = 'in place' WHERE id % 300 = 0; INSERT INTO t(text) VALUES ('one more')");
    let in_place = source.pages();
    source.run("DELETE FROM t WHERE id > 500");
    let shrunk = source.pages();
    source.run("UPDATE t SET text = id || text; VACUUM");
    let swapped = source.pages();
    let resized = Source::new("PRAGMA page_size=1024", 200).pages();
    let scenario = |name, before: &Pages, after: &Pages| Scenario {
        name,
        before: Some(before.clone()),
        after: after.clone(),
    };
    vec![
        Scenario { name: "first", before: None, after: first.clone() },
        scenario("in place", &first, &in_place),
        scenario("shrink", &in_place, &shrunk),
        scenario("swap", &in_place, &swapped),
        scenario("page size", &in_place, &resized),
    ]
}

/// Whether `replica` is whole at the state before (`false`) or after (`true`) the push.
fn state(replica: &Arc<Replica>, scenario: &Scenario, context: &str) -> bool {
    let info = replica.current();
    let image = whole(&replica.pin());
    let base = u64::from(scenario.before.is_some());
    let before = scenario.before.as_ref().map(served).unwrap_or_default();
    let after = served(&scenario.after);
    assert!(image == before || image == after, "{context}: a mixture");
    let is_after = image == after;
    assert_eq!(info.version, base + u64::from(is_after), "{context}");
    is_after
}

/// Over EdgeReplica's wire, and over Ferry's own.
type Push = fn(&Arc<Replica>, &Pages) -> Result<(VersionInfo, u32), Failed>;
const WIRES: [Push; 2] = [push, uploads::push_body];

#[test]
fn killed_at_any_point_the_old_version_or_the_new_stands() {
    for (push, scenario) in
        WIRES.into_iter().flat_map(|push| scenarios().into_iter().map(move |one| (push, one)))
    {
        let dir = tempfile::tempdir().unwrap();
        let copies = tempfile::tempdir().unwrap();
        let replica = open(&dir.path().join("db"));
        if let Some(before) = &scenario.before {
            push(&replica, before).unwrap();
        }
        let points = Arc::new(Mutex::new(Vec::<String>::new()));
        let (seen, from, to) = (Arc::clone(&points), dir.path().join("db"), copies.path().to_owned());
        let copy = move |point: &str| {
            let mut seen = seen.lock().unwrap();
            copy_dir(&from, &to.join(seen.len().to_string()));
            seen.push(point.to_owned());
            Ok(())
        };
        hook::with(copy, || push(&replica, &scenario.after)).unwrap();
        let points = points.lock().unwrap().clone();
        assert!(points.len() >= 5, "{points:?}");
        let mut reached = false;
        for (index, point) in points.iter().enumerate() {
            let context = format!("{}: killed at {point}", scenario.name);
            let killed = copies.path().join(index.to_string());
            let again = open(&killed);
            let is_after = state(&again, &scenario, &context);
            assert!(is_after || !reached, "{context}: committed before, lost now");
            reached |= is_after;
            assert!(!again.is_broken(), "{context}");
            push(&again, &scenario.after).unwrap_or_else(|error| panic!("{context}: the retry: {error:?}"));
            assert!(whole(&again.pin()) == served(&scenario.after), "{context}: after the retry");
            drop(again);
            assert!(state(&open(&killed), &scenario, &context), "{context}: opened once more");
        }
        assert!(reached, "{}: {points:?}", scenario.name);
    }
}

#[test]
fn failing_at_any_point_nothing_is_mixed_and_work_goes_on() {
    for (push, panics) in WIRES.into_iter().flat_map(|push| [(push, false), (push, true)]) {
        for scenario in scenarios() {
            for target in 0.. {
                let dir = tempfile::tempdir().unwrap();
                let mut replica = open(dir.path());
                if let Some(before) = &scenario.before {
                    push(&replica, before).unwrap();
                }
                let hit = Arc::new(Mutex::new(None::<String>));
                let (recorded, mut reached) = (Arc::clone(&hit), 0);
                let fail = move |point: &str| {
                    reached += 1;
                    if reached <= target {
                        return Ok(());
                    }
                    if recorded.lock().unwrap().is_none() {
                        *recorded.lock().unwrap() = Some(point.to_owned());
                        assert!(!panics, "on purpose");
                        return Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into());
                    }
                    Ok(())
                };
                let attempt = || {
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| push(&replica, &scenario.after)))
                };
                let outcome = hook::with(fail, attempt);
                let Some(point) = hit.lock().unwrap().clone() else { break };
                let context = format!("{}: {point} fails (panics: {panics})", scenario.name);
                assert!(!matches!(outcome, Ok(Ok(_))), "{context}");
                if replica.is_broken() {
                    drop(replica);
                    replica = open(dir.path());
                }
                state(&replica, &scenario, &context);
                push(&replica, &scenario.after)
                    .unwrap_or_else(|error| panic!("{context}: the retry: {error:?}"));
                assert!(state(&replica, &scenario, &context), "{context}");
            }
        }
    }
}
