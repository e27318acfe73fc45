//! Groups, requests that fail in them, and the WAL.

use ferry_types::limits::WAL_BUSY_RESTART_BYTES;

use super::*;

type Apply = Box<dyn FnMut(&Connection) -> Result<()>>;

fn insert(value: i64) -> Apply {
    Box::new(move |connection| {
        connection.execute("INSERT INTO t VALUES (?1)", [value])?;
        Ok(())
    })
}

fn open(dir: &tempfile::TempDir) -> Writer {
    let mut writer = Writer::open(&dir.path().join("main.db")).unwrap();
    writer.connection().execute_batch("CREATE TABLE IF NOT EXISTS t(x INTEGER PRIMARY KEY)").unwrap();
    writer
}

fn run(writer: &mut Writer, mut requests: Vec<Apply>) -> Vec<Result<Applied<()>>> {
    writer.run_group(&mut requests, |request, transaction: &mut Transaction<'_, ()>| {
        request(transaction.connection())
    })
}

fn rows(writer: &mut Writer) -> Vec<i64> {
    let mut statement = writer.connection().prepare("SELECT x FROM t ORDER BY x").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(|row| row.unwrap()).collect()
}

#[test]
fn a_failed_request_is_rolled_back_alone_and_takes_no_seq() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(&dir);
    let half_done: Apply = Box::new(|connection| {
        connection.execute("INSERT INTO t VALUES (7)", [])?;
        Err(ferry_types::Error::internal().into())
    });
    let panics: Apply = Box::new(|connection| {
        connection.execute("INSERT INTO t VALUES (8)", [])?;
        panic!("on purpose")
    });
    let nothing: Apply = Box::new(|_| Ok(()));
    let answers = run(&mut writer, vec![insert(1), half_done, panics, nothing, insert(2)]);
    let seqs: Vec<_> = answers.iter().map(|answer| answer.as_ref().ok().map(|applied| applied.seq)).collect();
    assert_eq!(seqs, [Some(Some(Seq(1))), None, None, Some(None), Some(Some(Seq(2)))]);
    assert_eq!(rows(&mut writer), [1, 2]);
    writer.close().unwrap();
    let mut again = open(&dir);
    assert_eq!(again.seq(), Seq(2));
    assert_eq!(rows(&mut again), [1, 2]);
}

#[test]
fn a_lone_request_is_rolled_back_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(&dir);
    let half_done: Apply = Box::new(|connection| {
        connection.execute("INSERT INTO t VALUES (7)", [])?;
        Err(ferry_types::Error::internal().into())
    });
    assert!(run(&mut writer, vec![half_done])[0].is_err());
    assert_eq!(rows(&mut writer), [0_i64; 0]);
    assert!(run(&mut writer, vec![insert(1)])[0].is_ok());
    assert_eq!((rows(&mut writer), writer.seq()), (vec![1], Seq(1)));
}

#[test]
fn when_sqlite_ends_the_transaction_every_request_gets_a_correct_answer() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(&dir);
    // A full disk in mid-request makes SQLite roll the whole transaction back by itself.
    let disk_full: Apply = Box::new(|connection| {
        connection.execute_batch("ROLLBACK")?;
        Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into())
    });
    let answers = run(&mut writer, vec![insert(1), disk_full, insert(3)]);
    let held: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(held, [false, false, true], "the first was rolled back with the group");
    assert!(answers[0].as_ref().unwrap_err().is_storage_full());
    assert_eq!(rows(&mut writer), [3]);
    assert_eq!(writer.seq(), Seq(1));
}

#[test]
fn the_wal_is_restarted_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(&dir);
    writer.connection().execute_batch("CREATE TABLE big(x)").unwrap();
    for _ in 0..40 {
        let megabyte: Apply = Box::new(|connection| {
            connection.execute("INSERT INTO big VALUES (zeroblob(1000000))", [])?;
            Ok(())
        });
        run(&mut writer, vec![megabyte]);
        writer.checkpoint_if_due(|| false).unwrap();
    }
    let wal = std::fs::metadata(dir.path().join("main.db-wal")).unwrap().len();
    assert!(wal < WAL_BUSY_RESTART_BYTES + (2 << 20), "WAL holds {wal} bytes after 40 MB of writes");
}

/// Readers that came and went without a gap had the WAL grow for ever.
// Verifies: PAG-42
#[test]
fn above_16_mib_the_writer_waits_for_readers() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = open(&dir);
    writer.connection().execute_batch("CREATE TABLE big(x)").unwrap();
    let held = std::cell::RefCell::new(Some(connection::open_reader(&dir.path().join("main.db")).unwrap()));
    let begin = "BEGIN; SELECT count(*) FROM big";
    held.borrow().as_ref().unwrap().execute_batch(begin).unwrap();
    let asked = std::cell::Cell::new(0);
    let wal = || std::fs::metadata(dir.path().join("main.db-wal")).unwrap().len();
    let mut write = |megabytes: u32, may_wait: &dyn Fn() -> bool| {
        for _ in 0..megabytes {
            let megabyte: Apply = Box::new(|connection| {
                connection.execute("INSERT INTO big VALUES (zeroblob(1000000))", [])?;
                Ok(())
            });
            run(&mut writer, vec![megabyte]);
            writer.checkpoint_if_due(may_wait).unwrap();
        }
    };
    // Held off below that, it is not waited for.
    write(14, &|| panic!("nothing to wait for"));
    // Who waits for this writer must not be waited for; then not before there is twice as much.
    let refuses = || {
        asked.set(asked.get() + 1);
        false
    };
    write(12, &refuses);
    assert_eq!(asked.get(), 1);
    assert!(wal() > 24 << 20, "{}", wal());
    // The reader ends while it is waited for.
    let ends = || {
        held.borrow_mut().take();
        true
    };
    write(12, &ends);
    assert!(held.borrow().is_none(), "it was waited for again");
    assert!(wal() < 8 << 20, "{}", wal());
}
