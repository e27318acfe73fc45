//! Every shape of SQLite file goes in and comes out unchanged.

use super::*;

fn pushed_and_pulled(pragmas: &str) {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let source = Source::new(pragmas, 400);
    let steps = [
        "",
        "UPDATE t SET text = 'short' WHERE id % 50 = 0",
        "INSERT INTO t(text) SELECT text FROM t",
        "DELETE FROM t WHERE id > 100; VACUUM",
        "UPDATE t SET text = text || 'x' WHERE id = 3",
    ];
    let mut before = Pages::new();
    for (step, sql) in steps.iter().enumerate() {
        source.run(sql);
        let pages = source.pages();
        let (info, _) =
            push(&replica, &pages).unwrap_or_else(|error| panic!("{pragmas}: step {step}: {error:?}"));
        assert_eq!(info.version, step as u64 + 1, "{pragmas}");
        let image = whole(&replica.pin());
        assert!(image == served(&pages), "{pragmas}: step {step}");
        check_integrity(&image, dir.path());
        // The local copy of the version before, brought to this one.
        let mut copy = before.clone();
        let creates_4096_only = before.is_empty() && info.page_size != Some(PageSize::DEFAULT);
        let pulled =
            if creates_4096_only { (1..).zip(image.clone()).collect() } else { pull(replica.pin(), &before) };
        for (page_no, data) in pulled {
            copy.resize(copy.len().max(page_no as usize), Vec::new());
            copy[page_no as usize - 1] = data;
        }
        copy.truncate(pages.len());
        assert!(copy == image, "{pragmas}: step {step}: pulled onto the version before");
        let (again, sent) = push(&replica, &pages).unwrap();
        assert_eq!((again.version, sent), (info.version, 0), "{pragmas}: an unchanged push sends nothing");
        before = image;
    }
    drop(replica);
    assert!(whole(&open(dir.path()).pin()) == before, "{pragmas}: after closing and opening");
}

#[test]
fn page_sizes_and_auto_vacuum_and_journal_modes() {
    for page_size in [512, 4096, 65536] {
        for auto_vacuum in 0..=2 {
            for journal in ["DELETE", "WAL"] {
                pushed_and_pulled(&format!(
                    "PRAGMA page_size={page_size}; PRAGMA auto_vacuum={auto_vacuum}; PRAGMA journal_mode={journal};"
                ));
            }
        }
    }
    for page_size in [1024, 2048, 8192, 16384, 32768] {
        pushed_and_pulled(&format!("PRAGMA page_size={page_size}; PRAGMA auto_vacuum=1;"));
    }
}

#[test]
fn other_text_encodings() {
    pushed_and_pulled("PRAGMA encoding='UTF-16le';");
    pushed_and_pulled("PRAGMA encoding='UTF-16be'; PRAGMA auto_vacuum=1;");
}

/// Gives a page room for `reserved` bytes at its end that SQLite does not use, as extensions do.
fn with_reserved_bytes(reserved: u8) -> Pages {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.db");
    {
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA page_size=512; CREATE TABLE a(x); DROP TABLE a; VACUUM").unwrap();
    }
    // An empty database whose header says so; SQLite keeps to it from then on.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] = reserved;
    let usable = 512 - u16::from(reserved);
    bytes[105..107].copy_from_slice(&usable.to_be_bytes());
    std::fs::write(&path, &bytes[..512]).unwrap();
    let connection = Connection::open(&path).unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
                INSERT INTO t SELECT i, hex(i * 12345) FROM n";
    connection.execute_batch(&format!("CREATE TABLE t(id INTEGER PRIMARY KEY, text); {fill}")).unwrap();
    let mut pages = read_file(&path);
    for page in pages.iter_mut().skip(1) {
        let from = page.len() - usize::from(reserved);
        page[from..].fill(0x5a);
    }
    pages
}

#[test]
fn reserved_bytes_are_part_of_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let pages = with_reserved_bytes(32);
    push(&replica, &pages).unwrap();
    let image = whole(&replica.pin());
    assert!(image == served(&pages));
    assert!(image[3].ends_with(&[0x5a; 32]));
    check_integrity(&image, dir.path());
}

#[test]
fn a_push_may_change_the_page_size() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let small = Source::new("PRAGMA page_size=1024", 300).pages();
    let large = Source::new("PRAGMA page_size=8192", 300).pages();
    push(&replica, &small).unwrap();
    let pinned = replica.pin();
    push(&replica, &large).unwrap();
    assert!(whole(&pinned) == served(&small), "the pinned version has its own page size");
    assert!(whole(&replica.pin()) == served(&large));
    push(&replica, &small).unwrap();
    assert!(whole(&pinned) == served(&small));
    assert_eq!(replica.current().root, pinned.info().root, "equal content has an equal root");
}

#[test]
fn the_lock_page_is_neither_asked_for_nor_sent() {
    let dir = tempfile::tempdir().unwrap();
    let size = PageSize::new(65536).unwrap();
    // 1.1 GB, all zeros but page 1; built of frames alone, as no such file is needed.
    let count = 17_000_u32;
    assert!(PageCount(count).contains(size.lock_page()));
    let mut page1 = Source::new("PRAGMA page_size=65536", 1).pages().swap_remove(0);
    page1[28..32].copy_from_slice(&count.to_be_bytes());
    let zero = tree::leaf(&vec![0; size.bytes()]).0;
    let replica = open(dir.path());
    let mut files = PushFiles::new(replica.pin()).unwrap();
    let mut session = PushSession::new(files.pinned().info().image(), LIMIT);
    let hello = Frame::Hello(Hello { protocol_version: 1, page_size: 4096, max_page: count });
    receive(&mut session, &mut files, &hello).unwrap();
    for page_no in 1..=count {
        let hash = if page_no == 1 { tree::leaf(&page1).0 } else { zero };
        receive(&mut session, &mut files, &Frame::PageHash(PageHash { page_no, hash: &hash })).unwrap();
    }
    receive(&mut session, &mut files, &Frame::Complete).unwrap();
    let mut asked = Vec::new();
    while let Some(frame) = session.next_frame() {
        if let Frame::RequestPage(wanted) = frame {
            asked.push(wanted.page_no);
            receive(&mut session, &mut files, &Frame::PageData(PageData { page_no: 1, data: &page1 }))
                .unwrap();
        }
    }
    assert_eq!(asked, [1], "zero pages of any number travel as hashes alone");
    let Some(PushOutcome::Changed(plan)) = session.outcome().unwrap() else { panic!("nothing changed") };
    replica.commit_push(prepare(files, *plan).unwrap()).unwrap();
    let mut pull = PullSession::new(replica.current().image(), LIMIT);
    let mut hashes = ServedHashes::new(replica.pin());
    let hello = Frame::Hello(Hello { protocol_version: 1, page_size: 4096, max_page: 1 });
    pull.receive(&hello, &mut hashes).unwrap();
    pull.receive(&Frame::Complete, &mut hashes).unwrap();
    let sent: Vec<u32> = std::iter::from_fn(|| pull.next_page()).map(PageNo::get).collect();
    assert_eq!(sent.len(), count as usize - 1);
    assert!(!sent.contains(&size.lock_page().get()));
    let far = PageNo::new(count).unwrap();
    let mut zeros = false;
    hashes
        .source()
        .read(&[far], &mut |_, data| {
            zeros = data.iter().all(|byte| *byte == 0);
            Ok(())
        })
        .unwrap();
    assert!(zeros);
}

#[test]
fn a_schema_cannot_hide_the_pages() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let source = Source::new("", 50);
    source.run(
        "CREATE TABLE x(pgno INTEGER PRIMARY KEY, data BLOB, schema HIDDEN); INSERT INTO x VALUES (1, 'no page', '');
         PRAGMA writable_schema=ON;
         UPDATE sqlite_schema SET name = 'sqlite_dbpage', tbl_name = 'sqlite_dbpage',
             sql = 'CREATE TABLE sqlite_dbpage(pgno INTEGER PRIMARY KEY, data BLOB, schema)' WHERE name = 'x';
         PRAGMA writable_schema=RESET",
    );
    for step in 0..3 {
        source.run(&format!("UPDATE t SET text = 'step {step}' WHERE id = 7"));
        let pages = source.pages();
        push(&replica, &pages).unwrap();
        assert!(whole(&replica.pin()) == served(&pages));
    }
}

#[test]
fn an_image_with_a_broken_schema_is_still_read_and_replaced() {
    let dir = tempfile::tempdir().unwrap();
    // Too large to be checked, as far as this replica is concerned.
    let config = ReplicaConfig { check_max_bytes: 0, ..ReplicaConfig::default() };
    let replica = Replica::open(dir.path(), config, Arc::new(FixedClock), Box::new(())).unwrap();
    let source = Source::new("", 500);
    let mut broken = source.pages();
    broken[0][108..300].fill(0xff);
    broken[0][3000..].fill(0x77);
    push(&replica, &broken).unwrap();
    assert!(whole(&replica.pin()) == served(&broken));
    broken[0][110] = 1;
    push(&replica, &broken).unwrap();
    assert!(whole(&replica.pin()) == served(&broken));
    drop(replica);
    let replica = Replica::open(dir.path(), config, Arc::new(FixedClock), Box::new(())).unwrap();
    push(&replica, &source.pages()).unwrap();
    check_integrity(&whole(&replica.pin()), dir.path());
}
