//! Backups in a bucket of a server of S3 that nobody here wrote: `moto_server` of PyPI's package `moto[server]`, if it is there.
//! Where it differs from Amazon's, the double of the testkit says what Amazon's does.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use ferry_testkit::{Hub, command::Ferry, http, wait};
use serde_json::Value;

use super::operator;
use crate::{
    records::{Records, insert},
    support::{FERRY, Place, options},
};

const TARGET: &str = "s3://ferry-tests/hubs/one";

/// A server of S3, ended when dropped.
struct Moto {
    server: Child,
    address: SocketAddr,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Moto {
    /// `None`, loudly, where it is not installed.
    fn start() -> Option<Self> {
        let named = std::env::var_os("MOTO_BIN").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = named.or_else(|| {
            std::env::split_paths(&path).map(|folder| folder.join("moto_server")).find(|file| file.is_file())
        });
        let Some(program) = found else {
            // Not through a macro, whose output is shown for failed tests only.
            let reply = "SKIPPED: the tests at a server of S3 from elsewhere: pip install 'moto[server]', or set MOTO_BIN to \
                         its moto_server.\n";
            std::io::stderr().write_all(reply.as_bytes()).unwrap();
            return None;
        };
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let port = address.port().to_string();
        let server = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Self { server, address };
        wait::until("moto to make a bucket", || {
            let made = http::send(address, "PUT", "/ferry-tests", &[], b"").ok()?;
            (made.status == 200).then_some(())
        });
        Some(moto)
    }

    fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "name".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ]
    }

    /// The command line, which asks no hub.
    fn alone(&self) -> Ferry {
        let ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
        self.variables().into_iter().fold(ferry, |ferry, (name, value)| ferry.env(name, &value))
    }
}

/// Takes a backup, once none is being taken by itself; its id.
fn back_up(hub: &Hub) -> String {
    wait::until("a backup to be taken", || {
        let taken = operator(hub).run(&["backup", "create"]);
        (taken.code == Some(0)).then(|| taken.stdout.split('\t').next().unwrap().to_owned())
    })
}

// Verifies: OPR-01, OPR-05, OPR-06, OPR-09, OPR-10, OPR-12, OPR-20, OPR-21
#[test]
fn a_hub_backs_up_to_a_server_of_s3_from_elsewhere_and_is_restored_from_it() {
    let Some(moto) = Moto::start() else { return };
    let ferry = moto.alone();
    // Which conditions it obeys stands in docs/backup.md.
    let checks = ferry.ok(&["backup", "check-target", TARGET]);
    for needed in ["write", "read", "list", "delete"] {
        assert!(checks.contains(&format!("ok\t{needed}")), "{checks}");
    }
    let conditions: Vec<&str> = checks
        .lines()
        .filter(|line| line.contains("create-only") || line.contains("compare-and-swap"))
        .collect();
    let told = format!("moto_server: {}\n", conditions.join("; "));
    std::io::stderr().write_all(told.as_bytes()).unwrap();

    let begun =
        moto.variables().into_iter().fold(options(), |options, (name, value)| options.env(name, value));
    let begun = begun
        .arg(format!("--backup-target={TARGET}"))
        .arg("--backup-every=0")
        .arg("--backup-verify-every=0")
        .arg("--backup-lag-seconds=1");
    let mut records = Records::at(Place::of(begun.start()));
    let push = |records: &Records, id: &str| {
        records.push("maker", "", &serde_json::json!([insert("tasks", id, "x")]))
    };
    push(&records, "first");
    let id = back_up(&records.place.hub);
    push(&records, "second");
    wait::until("all to be shipped", || {
        let told = operator(&records.place.hub).run(&["backup", "schedule", "--json"]);
        let told: Value = serde_json::from_str(&told.stdout).ok()?;
        let target = &told["targets"][0];
        let is_well = target["state"] == "ok" && target["lagMs"].as_str().is_none_or(|lag| lag == "0");
        let ranges = operator(&records.place.hub).ok(&["backup", "list"]);
        (is_well && ranges.contains("range\t")).then_some(())
    });
    let hub = operator(&records.place.hub);
    assert!(hub.ok(&["backup", "list"]).contains(&id));
    let verified = hub.ok(&["backup", "verify"]);
    assert_eq!(verified.lines().filter(|line| line.starts_with("ok\t")).count(), 2, "{verified}");
    hub.ok(&["backup", "prune"]);
    // It is this hub's, and stays so over a restart.
    records.place.hub.stop();
    records = records.restarted_with(|options| options);
    back_up(&records.place.hub);
    records.place.hub.stop();

    for quick in [&[][..], &["--quick"]] {
        ferry.ok(&[&["backup", "verify", "--target", TARGET], quick].concat());
    }
    let to = ferry.file("restored");
    ferry.ok(&["backup", "restore", "--target", TARGET, "--at", "latest", "--to", to.to_str().unwrap()]);
    assert!(to.join("control.db").exists());
    let out = ferry.file("app.db");
    ferry.ok(&["backup", "restore", "--target", TARGET, "--database", "app", "--out", out.to_str().unwrap()]);
    let file = fs::read(&out).unwrap();
    for written in ["first", "second"] {
        assert!(file.windows(written.len()).any(|window| window == written.as_bytes()), "{written}");
    }
    ferry.ok(&["backup", "prune", "--target", TARGET, "--keep", "last=1"]);
    ferry.ok(&["backup", "verify", "--target", TARGET]);
}
