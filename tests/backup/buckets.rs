//! Backups in a bucket of S3, also where it is slow to answer, breaks off, or refuses.

use ferry_testkit::{
    command::Ferry,
    dump,
    hub::Options,
    s3::{KEY_ID, Mishap, Object, REGION, S3, SECRET},
    wait::{self, unix_seconds},
};
use serde_json::{Value, json};

use super::operator;
use crate::{
    records::{Records, insert},
    support::{FERRY, Place, options},
};

const TARGET: &str = "s3://ferry-tests/hubs/one";

fn variables(s3: &S3) -> [(&'static str, String); 4] {
    [
        ("AWS_ENDPOINT_URL", s3.endpoint()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
    ]
}

/// The command line, which asks no hub.
fn alone(s3: &S3) -> Ferry {
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
    variables(s3).into_iter().fold(ferry, |ferry, (name, value)| ferry.env(name, &value))
}

/// A hub that backs up to a bucket when the test asks.
struct Bucket {
    s3: S3,
    records: Records,
}

impl Bucket {
    fn new() -> Self {
        Self::with(|options| options)
    }

    fn with(change: impl FnOnce(Options) -> Options) -> Self {
        let s3 = S3::start();
        let options =
            variables(&s3).into_iter().fold(options(), |options, (name, value)| options.env(name, value));
        let options = options
            .arg(format!("--backup-target={TARGET}"))
            .arg("--backup-every=0")
            .arg("--backup-verify-every=0");
        let records = Records::at(Place::of(change(options).start()));
        Self { s3, records }
    }

    fn write(&self, n: u64) {
        self.records.push("maker", "", &json!([insert("tasks", &format!("t{n}"), "x")]));
    }

    fn operator(&self) -> Ferry {
        operator(&self.records.place.hub)
    }

    #[track_caller]
    fn back_up(&self) -> String {
        let line = self.operator().ok(&["backup", "create"]);
        line.split('\t').next().unwrap().to_owned()
    }

    fn keys(&self, folder: &str) -> Vec<String> {
        let prefix = format!("hubs/one/{folder}/");
        self.s3.objects().into_keys().filter(|key| key.starts_with(&prefix)).collect()
    }
}

// Verifies: OPR-01, OPR-09, OPR-10, OPR-20
#[test]
fn a_hub_backs_up_to_a_bucket_and_is_restored_from_it() {
    let bucket = Bucket::with(|options| options.env("FERRY_LOG_LEVEL", "trace"));
    // Every list of more than three keys is read in parts.
    bucket.s3.set(|settings| settings.page_keys = 3);
    let ids: Vec<String> = (0..5)
        .map(|n| {
            bucket.write(n);
            bucket.back_up()
        })
        .collect();
    assert!(bucket.keys("packs").len() >= 5);
    assert_eq!(bucket.keys("locks"), [""; 0], "nobody changes it now");
    let ferry = alone(&bucket.s3);
    let listed: Value =
        serde_json::from_str(&ferry.ok(&["backup", "list", "--target", TARGET, "--json"])).unwrap();
    let found: Vec<&str> =
        listed["backups"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(found, ids.iter().rev().map(String::as_str).collect::<Vec<_>>());
    for at in [&["--target", TARGET][..], &[]] {
        let ferry = if at.is_empty() { bucket.operator() } else { alone(&bucket.s3) };
        let verified = ferry.ok(&[&["backup", "verify"], at].concat());
        assert_eq!(verified.lines().filter(|line| line.starts_with("ok\t")).count(), 2, "{verified}");
        ferry.ok(&[&["backup", "verify", &ids[0], "--quick"], at].concat());
    }
    let out = ferry.file("app.db");
    ferry.ok(&["backup", "restore", "--target", TARGET, "--database", "app", "--out", out.to_str().unwrap()]);
    let to = ferry.file("restored");
    ferry.ok(&["backup", "restore", "--target", TARGET, "--to", to.to_str().unwrap()]);
    assert!(to.join("control.db").exists());
    // What nobody needs, more than one list of S3 holds, and what one that was killed left.
    bucket.s3.set(|settings| settings.page_keys = 1000);
    let old = unix_seconds() - 3 * 86_400;
    bucket.s3.change(|objects| {
        for n in 0..1_200 {
            let name = format!("{n:032x}");
            let object = Object { bytes: b"garbage".to_vec(), made: old };
            objects.insert(format!("hubs/one/packs/{}/{name}", &name[..2]), object);
        }
        objects.insert("hubs/one/locks/0123".to_owned(), Object { bytes: b"{}".to_vec(), made: old });
        objects.insert("hubs/two/packs/00/x".to_owned(), Object { bytes: b"not ours".to_vec(), made: old });
    });
    let pruned = ferry.ok(&["backup", "prune", "--target", TARGET, "--keep", "last=1"]);
    assert_eq!(pruned.lines().filter(|line| line.starts_with("removed ")).count(), 4, "{pruned}");
    assert!(pruned.contains(&format!("freed {}", 1_200 * b"garbage".len())), "{pruned}");
    assert!(bucket.s3.objects().contains_key("hubs/two/packs/00/x"), "another prefix is another's");
    assert_eq!(bucket.keys("locks"), [""; 0]);
    ferry.ok(&["backup", "verify", "--target", TARGET]);
    // No secret is written anywhere.
    let Bucket { s3, records } = bucket;
    let mut hub = records.place.hub;
    let main = hub.database_dir(&records.place.database).join("main.db");
    hub.stop();
    dump::assert_equal(&main, &out);
    let log = hub.log();
    for secret in [SECRET, KEY_ID, "X-Amz-"] {
        assert!(!log.contains(secret), "the log holds {secret}");
        let has =
            |object: &Object| object.bytes.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
        assert!(!s3.objects().values().any(has), "an object holds {secret}");
    }
}

// Verifies: OPR-07, OPR-20
#[test]
fn backups_get_through_where_every_third_request_goes_wrong() {
    for mishap in [Mishap::Busy, Mishap::Cut, Mishap::Unanswered, Mishap::HalfAnswered] {
        let bucket = Bucket::new();
        bucket.write(0);
        let mut count = 0;
        bucket.s3.upset(move |_, _| {
            count += 1;
            (count % 3 == 0).then_some(mishap)
        });
        let id = bucket.back_up();
        let ferry = alone(&bucket.s3);
        let to = ferry.file("restored");
        ferry.ok(&["backup", "restore", &id, "--target", TARGET, "--to", to.to_str().unwrap()]);
        bucket.s3.calm();
        ferry.ok(&["backup", "verify", &id, "--target", TARGET]);
        assert!(bucket.s3.asked().len() > 10, "{mishap:?}");
    }
}

// Verifies: OPR-05, OPR-07, OPR-21
#[test]
fn what_changes_is_shipped_to_a_bucket_where_every_third_request_goes_wrong() {
    let bucket = Bucket::with(|options| options.arg("--backup-lag-seconds=1"));
    bucket.s3.set(|settings| settings.page_keys = 3);
    let is_shipped = || {
        let told: Value =
            serde_json::from_str(&bucket.operator().run(&["backup", "schedule", "--json"]).stdout).unwrap();
        let target = &told["targets"][0];
        (target["state"] == "ok" && target["lagMs"].as_str().is_none_or(|lag| lag == "0")).then_some(())
    };
    wait::until("a snapshot", || (!bucket.keys("snapshots").is_empty()).then_some(()));
    let ferry = alone(&bucket.s3);
    for (n, mishap) in
        [Mishap::Busy, Mishap::Cut, Mishap::Unanswered, Mishap::HalfAnswered].into_iter().enumerate()
    {
        let (mut count, before) = (0, bucket.keys("log").len());
        bucket.s3.upset(move |_, _| {
            count += 1;
            (count % 3 == 0).then_some(mishap)
        });
        bucket.write(n as u64);
        wait::until("it is shipped", is_shipped);
        assert!(bucket.keys("log").len() > before, "{mishap:?}");
        let out = ferry.file(&format!("{n}.db"));
        let restore =
            ["backup", "restore", "--target", TARGET, "--database", "app", "--out", out.to_str().unwrap()];
        ferry.ok(&restore);
        let place = &bucket.records.place;
        dump::assert_equal(&place.hub.database_dir(&place.database).join("main.db"), &out);
    }
    bucket.s3.calm();
    let listed = ferry.ok(&["backup", "list", "--target", TARGET]);
    assert!(listed.lines().any(|line| line.starts_with("range\t")), "{listed}");
}

// Verifies: OPR-06
#[test]
fn what_a_bucket_refuses_is_told_with_what_to_do() {
    let s3 = S3::start();
    let told = alone(&s3).ok(&["backup", "check-target", TARGET]);
    let names: Vec<&str> = told.lines().map(str::trim_end).collect();
    let all = ["write", "create-only", "read", "list", "compare-and-swap", "delete"];
    assert_eq!(names, all.map(|name| format!("ok\t{name}")), "{told}");
    assert!(s3.objects().is_empty(), "what was tried with is gone");
    s3.set(|settings| settings.has_conditions = false);
    let told = alone(&s3).ok(&["backup", "check-target", TARGET]);
    assert!(told.contains("warn\tcreate-only\t") && told.contains("warn\tcompare-and-swap\t"), "{told}");
    s3.set(|settings| settings.has_conditions = true);
    let fails = |ferry: Ferry, code, target: &str, words: &str| {
        let told = ferry.fails(code, &["backup", "check-target", target]);
        assert!(told.contains(words), "{words}: {told}");
        assert!(!told.contains(SECRET) && !told.contains("X-Amz"), "{told}");
    };
    fails(alone(&s3).env("AWS_SECRET_ACCESS_KEY", "other"), 6, TARGET, "AWS_SECRET_ACCESS_KEY");
    fails(alone(&s3).env("AWS_ACCESS_KEY_ID", "other"), 6, TARGET, "AWS_ACCESS_KEY_ID");
    fails(alone(&s3).env("AWS_REGION", "us-east-1"), 6, TARGET, &format!("backup.s3_region = \"{REGION}\""));
    fails(alone(&s3), 6, "s3://nobodys-bucket/x", "no such bucket");
    fails(alone(&s3).env("AWS_SECRET_ACCESS_KEY", ""), 9, TARGET, "AWS_SECRET_ACCESS_KEY");
    fails(alone(&s3).env("AWS_ENDPOINT_URL", "s3.example.org"), 9, TARGET, "s3_endpoint");
    fails(alone(&s3), 9, "s3://Bucket", "expected s3://bucket/prefix");
    s3.set(|settings| settings.ahead_seconds = 7200);
    fails(alone(&s3), 6, TARGET, "behind of its");
    s3.set(|settings| settings.ahead_seconds = 0);
    for (mishap, code, words) in [
        (Mishap::Html, 6, "is there a proxy"),
        (Mishap::HtmlMissing, 6, "is there a proxy"),
        (Mishap::Denied, 6, "needs the rights"),
        (Mishap::Full, 6, "XMinioStorageFull"),
        (Mishap::Busy, 7, "SlowDown"),
    ] {
        s3.upset(move |_, _| Some(mishap));
        fails(alone(&s3), code, TARGET, words);
    }
    // Rights that are missing are named by what fails.
    s3.upset(|method, key| (method == "GET" && key.ends_with("probe/")).then_some(Mishap::Denied));
    let told = alone(&s3).run(&["backup", "check-target", TARGET]);
    assert!(told.stdout.contains("ok\tread\t\nfail\tlist\t"), "{}", told.stdout);
    s3.upset(|method, _| (method == "DELETE").then_some(Mishap::Denied));
    let told = alone(&s3).run(&["backup", "check-target", TARGET]);
    assert!(told.stdout.contains("fail\tdelete\t"), "{}", told.stdout);
    s3.calm();
    let folder = alone(&s3);
    let url = format!("file://{}", folder.file("backups").display());
    let told = folder.ok(&["backup", "check-target", &url]);
    assert!(told.contains("ok\tcompare-and-swap") && told.contains("ok\tdelete"), "{told}");
}

// Verifies: OPR-07, OPR-12
#[test]
fn one_at_a_time_changes_a_bucket_and_one_that_was_killed_is_not_waited_for_long() {
    let bucket = Bucket::new();
    bucket.write(0);
    let lock = |made| {
        let object = Object { bytes: b"{}".to_vec(), made };
        bucket.s3.change(|objects| drop(objects.insert("hubs/one/locks/0123".to_owned(), object)));
    };
    lock(unix_seconds());
    let told = bucket.operator().fails(7, &["backup", "create"]);
    assert!(told.contains("another process changes the backups"), "{told}");
    assert_eq!(bucket.keys("locks"), ["hubs/one/locks/0123"], "its own is gone");
    assert_eq!(bucket.keys("snapshots"), [""; 0]);
    lock(unix_seconds() - 200);
    bucket.back_up();
    assert_eq!(bucket.keys("locks"), [""; 0]);
    // A bucket that answers no more: told, and the hub serves on.
    bucket.s3.upset(|_, _| Some(Mishap::Denied));
    bucket.operator().fails(1, &["backup", "create"]);
    bucket.write(1);
    let told = bucket.operator().fails(12, &["backup", "schedule"]);
    assert!(told.contains("unreachable"), "{told}");
    let told = bucket.operator().run(&["backup", "schedule"]).stdout;
    assert!(told.contains(TARGET) && told.contains("needs the rights"), "{told}");
    bucket.s3.calm();
    bucket.back_up();
    bucket.operator().ok(&["backup", "schedule"]);
    // Another hub is refused there.
    let other = Bucket::with(|options| {
        variables(&bucket.s3).into_iter().fold(options, |options, (name, value)| options.env(name, value))
    });
    let told = other.operator().fails(6, &["backup", "create"]);
    assert!(told.contains("another hub"), "{told}");
    assert!(other.s3.objects().is_empty());
}

// Verifies: OPR-07
#[test]
fn a_hub_that_stops_waits_for_no_bucket() {
    let bucket = Bucket::new();
    bucket.write(0);
    bucket.back_up();
    let before = bucket.s3.asked().len();
    bucket.s3.upset(|_, _| Some(Mishap::Busy));
    bucket.operator().ok(&["backup", "create", "--no-wait"]);
    wait::until("the bucket is asked", || (bucket.s3.asked().len() > before + 1).then_some(()));
    let mut hub = bucket.records.place.hub;
    assert!(hub.stop().success());
    let asked = bucket.s3.asked().len() - before;
    assert!(asked < 6, "it did not try to the end: {asked}");
}
