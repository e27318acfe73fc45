//! Mails that wait when a backup is taken.

use ferry_testkit::{
    smtp::{MailDouble, Manner},
    wait,
};
use rusqlite::Connection;

use super::{operator, settings};
use crate::control::mail::{forgot, mailing};

fn count(connection: &Connection, table: &str) -> i64 {
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

// Verifies: OPR-25
#[test]
fn a_restored_hub_sends_no_mail_of_before_unless_it_is_told_to() {
    let double = MailDouble::start(Manner::Later);
    let target = tempfile::tempdir().unwrap();
    let hub = settings(mailing(&double), target.path()).start();
    hub.signup("ada@example.com");
    forgot(&hub, "ada@example.com").unwrap();
    let db = crate::support::control_db(&hub);
    wait::until("both tried", || {
        (count(&db, "email_verifications") + count(&db, "password_resets") == 2).then_some(())
    });
    let ferry = operator(&hub);
    ferry.ok(&["backup", "create"]);
    let url = format!("file://{}", target.path().display());
    for (how, kept) in [(&[][..], 0), (&["--credentials", "keep"][..], 1)] {
        let to = ferry.file(if kept == 0 { "ended" } else { "kept" });
        let mut command = vec!["backup", "restore", "--target", &url, "--to", to.to_str().unwrap()];
        command.extend(how);
        ferry.ok(&command);
        let restored = Connection::open(to.join("control.db")).unwrap();
        for (table, waiting) in [("outbox", 2), ("email_verifications", 1), ("password_resets", 1)] {
            assert_eq!(count(&restored, table), waiting * kept, "{table} {how:?}");
        }
    }
}
