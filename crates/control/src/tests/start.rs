use std::{fs, os::unix::fs::PermissionsExt as _};

use ferry_sqlite::{Writer, migrate};

use super::*;
use crate::{
    directory::tables::{MIGRATIONS, MIN_READER},
    schema::{SchemaStep, read_schema},
};

async fn try_open(dir: &Path, change: impl FnOnce(&mut ControlConfig)) -> Result<Arc<Control>, StartError> {
    let mut config = config(dir);
    change(&mut config);
    Control::open(config, None, &Arc::default(), Arc::new(ManualClock(AtomicI64::new(START * 1000)))).await
}

// Verifies: CFG-02
#[tokio::test]
async fn the_first_start_makes_private_files() {
    let hub = Fixture::new().await;
    hub.signup("ada@example.com").await;
    for name in ["control.db", "control.db-wal", "keyring.json", "operator.token"] {
        let mode = fs::metadata(hub.dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    let token = fs::read_to_string(hub.dir.path().join("operator.token")).unwrap();
    assert!(hub.control.authenticator.is_operator(&bearer(token.trim())));
    assert!(
        !hub.control.authenticator.is_operator(&bearer("fop_x"))
            && !hub.control.authenticator.is_operator(&HeaderMap::new())
    );
    hub.control.stop().await;
    for name in ["control.db", "keyring.json", "operator.token"] {
        let path = hub.dir.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = try_open(hub.dir.path(), |_| ()).await.err().unwrap().0;
        assert!(refused.contains(name) && refused.contains("chmod 600"), "{refused}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    try_open(hub.dir.path(), |_| ()).await.unwrap();
}

// Verifies: CFG-03
#[tokio::test]
async fn a_newer_schema_is_left_untouched() {
    let hub = Fixture::new().await;
    hub.control.stop().await;
    hub.sql().pragma_update(None, "user_version", 999).unwrap();
    let min_reader = "UPDATE _ferry_meta SET value = 999 WHERE key = 'min_reader'";
    assert_eq!(hub.sql().execute(min_reader, []).unwrap(), 1);
    let path = hub.dir.path().join("control.db");
    let before = fs::read(&path).unwrap();
    let refused = try_open(hub.dir.path(), |_| ()).await.err().unwrap().0;
    assert!(refused.contains("newer"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

// Verifies: OPR-77
#[tokio::test]
async fn a_newer_schema_that_lets_this_program_write_is_opened() {
    let hub = Fixture::new().await;
    hub.control.stop().await;
    let newer = MIGRATIONS.len() + 1;
    hub.sql().pragma_update(None, "user_version", newer).unwrap();
    assert_eq!(read_schema(hub.dir.path()).unwrap().unwrap().step, SchemaStep::Compatible);
    try_open(hub.dir.path(), |_| ()).await.unwrap().stop().await;
    let kept: usize = hub.sql().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(kept, newer, "the newer program finds its own schema again");
    assert_eq!(read_schema(hub.dir.path()).unwrap().unwrap().step, SchemaStep::Compatible);
}

// Verifies: OPR-77
#[tokio::test]
async fn what_older_programs_could_read_is_kept_before_it_is_taken_from_them() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = dir.path().join("control.db");
    let older = MIN_READER - 1;
    let write_older = || {
        let mut writer = Writer::open(&path).unwrap();
        migrate::run_noting(writer.connection(), &MIGRATIONS[..older], older).unwrap();
        writer.close().unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write_older();
    try_open(dir.path(), |_| ()).await.unwrap().stop().await;
    let kept = dir.path().join(concat!("backup/pre-", env!("CARGO_PKG_VERSION"), "/control.db"));
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let version = || -> usize {
        let copy = rusqlite::Connection::open(&kept).unwrap();
        copy.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    assert_eq!(version(), older);
    // The older program goes on with it.
    fs::copy(&kept, &path).unwrap();
    write_older();
    // Who comes again finds it kept, and what need not be kept is not.
    try_open(dir.path(), |_| ()).await.unwrap().stop().await;
    assert_eq!(version(), older);
    fs::remove_file(&kept).unwrap();
    try_open(dir.path(), |_| ()).await.unwrap().stop().await;
    assert!(!kept.exists());
}

// Verifies: CFG-03
#[tokio::test]
async fn a_pending_migration_needs_leave() {
    let hub = Fixture::new().await;
    hub.control.stop().await;
    hub.sql().pragma_update(None, "user_version", 0).unwrap();
    let path = hub.dir.path().join("control.db");
    let before = fs::read(&path).unwrap();
    let refused = try_open(hub.dir.path(), |config| config.auto_migrate = false).await.err().unwrap().0;
    assert!(refused.contains("auto_migrate"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

// Verifies: CFG-03
#[tokio::test]
async fn a_fresh_folder_needs_no_migration() {
    let dir = tempfile::tempdir().unwrap();
    try_open(dir.path(), |config| config.auto_migrate = false).await.unwrap().stop().await;
    try_open(dir.path(), |config| config.auto_migrate = false).await.unwrap();
}

// Verifies: CFG-04, CFG-05
#[tokio::test]
async fn dev_folders_and_server_folders_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let dev = try_open(dir.path(), |config| config.dev = true).await.unwrap();
    let session = LogIn { email: "dev@localhost", password: "ferry-dev", label: "", origin: &origin() }
        .run(&dev.accounts)
        .await
        .unwrap();
    let caller = dev.authenticator.session(&bearer(&session.token), local(), Access::Full).unwrap();
    let names: Vec<_> = ListAllDatabases { caller: &caller }
        .run(&dev.db)
        .unwrap()
        .iter()
        .map(|entry| entry.name.to_string())
        .collect();
    assert_eq!(names, ["main"]);
    dev.stop().await;
    let again = try_open(dir.path(), |config| config.dev = true).await.unwrap();
    assert_eq!((again.user_count(), again.database_count()), (1, 1), "seeded once");
    again.stop().await;
    assert!(try_open(dir.path(), |_| ()).await.err().unwrap().0.contains("with --dev"));

    let dir = tempfile::tempdir().unwrap();
    try_open(dir.path(), |_| ()).await.unwrap().stop().await;
    assert!(
        try_open(dir.path(), |config| config.dev = true).await.err().unwrap().0.contains("without --dev")
    );
}

// Verifies: TOK-11
#[tokio::test]
async fn a_malformed_session_key_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let refused = try_open(dir.path(), |config| config.session_key = Some("nonsense".to_owned())).await;
    assert!(refused.err().unwrap().0.contains("SESSION_KEY"));
}
