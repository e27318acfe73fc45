//! What most tests begin with.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use ferry_testkit::{
    Direction, Hub, Session,
    command::Ferry,
    edgereplica::{self, Failure, Report},
    http::Response,
    hub::Options,
    rpc::Refusal,
};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// The program under test.
pub(crate) const FERRY: &str = env!("CARGO_BIN_EXE_ferry");

/// How a hub is started; a test adds what it needs.
pub(crate) fn options() -> Options {
    Options::new(FERRY)
}

/// A hub with nothing in it.
pub(crate) fn hub() -> Hub {
    options().start()
}

/// A user with one database.
pub(crate) struct Place {
    pub(crate) hub: Hub,
    pub(crate) user: Session,
    pub(crate) database: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::of(hub())
    }

    pub(crate) fn of(hub: Hub) -> Self {
        let user = hub.signup("ada@example.com");
        let database = user.create_database("app");
        Self { hub, user, database }
    }

    /// The same under `options`, which may name its database, `app`: it is made first.
    pub(crate) fn under(options: Options) -> Self {
        Self::new().restarted_with(|_| options)
    }

    /// Starts the hub again over its data, killing it first if it still runs.
    pub(crate) fn restarted(self) -> Self {
        self.restarted_with(|options| options)
    }

    pub(crate) fn restarted_with(self, change: impl FnOnce(Options) -> Options) -> Self {
        let hub = self.hub.restart_with(change);
        let user = self.user.at(hub.address());
        Self { hub, user, database: self.database }
    }

    pub(crate) fn push_token(&self) -> String {
        self.user.sync_token(&self.database, Direction::Push)
    }

    pub(crate) fn pull_token(&self) -> String {
        self.user.sync_token(&self.database, Direction::Pull)
    }

    /// Pushes as EdgeReplica's client does.
    pub(crate) fn try_push(&self, file: &Path) -> Result<Report, Failure> {
        edgereplica::push(self.hub.address(), &self.push_token(), file)
    }

    pub(crate) fn push(&self, file: &Path) -> Report {
        self.try_push(file).unwrap_or_else(|failure| panic!("the push of {}: {failure:?}", file.display()))
    }

    /// Pulls as EdgeReplica's client does.
    pub(crate) fn pull(&self, file: &Path) -> Report {
        edgereplica::pull(self.hub.address(), &self.pull_token(), file)
            .unwrap_or_else(|failure| panic!("the pull into {}: {failure:?}", file.display()))
    }
}

/// The operator at the command line.
pub(crate) fn operator(hub: &Hub) -> Ferry {
    Ferry::new(FERRY, &hub.url()).env("FERRY_OPERATOR_TOKEN", &hub.operator_token())
}

/// The hub's own database of accounts, as an operator may open it beside the hub.
pub(crate) fn control_db(hub: &Hub) -> Connection {
    let path = hub.data_dir().join("control.db");
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("control.db opens");
    connection.busy_timeout(std::time::Duration::from_secs(10)).expect("SQLite takes a timeout");
    connection
}

/// Asserts a refusal's family.
#[track_caller]
pub(crate) fn refused(answer: Result<Value, Refusal>, code: &str) -> Refusal {
    let refusal = answer.expect_err("the hub must refuse this");
    assert_eq!(refusal.code, code, "{refusal:?}");
    refusal
}

/// Asserts that a byte budget is spent: the answer says so, and until when (TOK-14).
#[track_caller]
pub(crate) fn assert_spent(refused: &Response) {
    let text = refused.text();
    assert_eq!(refused.status, 429, "{text}");
    assert!(text.contains("caveat bpd") && text.contains("midnight UTC"), "{text}");
    let seconds: u64 = refused.header("retry-after").expect("Retry-After").parse().unwrap();
    assert!((1..=86_400).contains(&seconds), "{seconds}");
}

/// The same in the form of `/v1`.
#[track_caller]
pub(crate) fn assert_v1_spent(refused: &Response) {
    assert_spent(refused);
    assert_eq!(refused.json()["error"]["reason"], "BYTE_BUDGET");
}

/// Every fault point of this prefix that the sources name: a test that passes them all needs no list to keep.
pub(crate) fn fault_points(prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let names = text.split("point(\"").skip(1).filter_map(|piece| piece.split('"').next());
                found.extend(names.filter(|name| name.starts_with(prefix)).map(str::to_owned));
            }
        }
    }
    found
}

/// Copies a folder with all in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Puts an older copy of a hub's folder, or of one database's, in its place. Nothing in the folder shows it, as when a volume
/// is rolled back: the file `lineage`, which knows when it was made, is the one that it was.
pub(crate) fn put_back(from: &Path, to: &Path) {
    empty_but_for(to, &["lineage"]);
    copy_folder(from, to);
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(to, private).unwrap();
}

/// Removes what is in a folder, but for the files of these names.
pub(crate) fn empty_but_for(folder: &Path, kept: &[&str]) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_kept = kept.iter().any(|name| path.ends_with(name));
        match (is_kept, path.is_dir()) {
            (true, _) => {}
            (false, true) => fs::remove_dir_all(path).unwrap(),
            (false, false) => fs::remove_file(path).unwrap(),
        }
    }
}

/// A small file system in memory, unmounted when dropped.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, loudly, where mounting is not allowed.
    pub(crate) fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m,mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "ferry-test"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("SKIPPED: a test of a full disk needs the right to mount a tmpfs (root)");
            return None;
        }
        Some(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
