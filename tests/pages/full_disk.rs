//! A full disk and a failing one (pages, section 5 and scenario 16).

use std::{fs, process::Command};

use ferry_testkit::{dump::assert_equal, http, sample::Shape, wait};
use rusqlite::Connection;

use crate::support::{Place, SmallDisk, fault_points, options};

// Verifies: PAG-43, PAG-47
#[test]
fn a_full_disk_refuses_the_push_and_goes_on_serving() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let place = Place::of(options().data_dir(disk.path().join("data")).start());
    let folder = tempfile::tempdir().unwrap();
    let (file, large) = (folder.path().join("app.db"), folder.path().join("large.db"));
    Shape::default().create(&file, 1000, 1);
    place.push(&file);
    fs::copy(&file, &large).unwrap();
    Connection::open(&large)
        .unwrap()
        .execute_batch("CREATE TABLE big(x); INSERT INTO big VALUES (randomblob(30000000))")
        .unwrap();

    let failure = place.try_push(&large).unwrap_err();
    assert!(failure.message().contains("disk"), "{failure:?}");
    // Pulls go on, and what is there is the old version.
    let copy = folder.path().join("copy.db");
    place.pull(&copy);
    assert_equal(&file, &copy);
    let ready = http::get(place.hub.address(), "/readyz").unwrap();
    assert!(ready.status == 200 || ready.json()["checks"]["disk"] == "low", "{}", ready.text());
    // After a restart too; and with space again, the next push goes through.
    let place = place.restarted();
    let copy = folder.path().join("copy-2.db");
    place.pull(&copy);
    assert_equal(&file, &copy);
    let grown = Command::new("mount").args(["-o", "remount,size=400m"]).arg(disk.path()).status();
    assert!(grown.is_ok_and(|status| status.success()));
    wait::until("the push to be accepted again", || place.try_push(&large).ok());
    let copy = folder.path().join("copy-3.db");
    place.pull(&copy);
    assert_equal(&large, &copy);
}

// Verifies: PAG-43
#[test]
fn a_disk_that_fills_up_at_any_step_leaves_the_old_version() {
    let points = fault_points("push.");
    assert!(points.len() >= 3, "{points:?}");
    let mut place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 400, 1);
    place.push(&file);
    for point in points {
        let old = folder.path().join("old.db");
        fs::copy(&file, &old).unwrap();
        Connection::open(&file)
            .unwrap()
            .execute_batch("UPDATE item SET price = price + 1 WHERE id = 9")
            .unwrap();
        place = place.restarted_with(|options| options.fault(format!("{point}=full")));
        let outcome = place.try_push(&file);
        let copy = folder.path().join("copy.db");
        let _ = fs::remove_file(&copy);
        place.pull(&copy);
        let got = ferry_testkit::dump::dump(&copy);
        let (before, after) = (ferry_testkit::dump::dump(&old), ferry_testkit::dump::dump(&file));
        match &outcome {
            Ok(_) => assert!(got == after, "{point}: an acknowledged push is gone"),
            Err(failure) => {
                assert!(failure.message().contains("disk"), "{point}: {failure:?}");
                assert!(got == before || got == after, "{point}: a mixture");
            }
        }
        place = place.restarted();
        place.push(&file);
    }
}
