//! Refuses to build against an SQLite without `sqlite_dbpage`, which page sync reads and writes through, and without the
//! preupdate hook, by which functions learn what they changed.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBSQLITE3_FLAGS");
    let flags = std::env::var("LIBSQLITE3_FLAGS").unwrap_or_default();
    assert!(
        flags.contains("SQLITE_ENABLE_DBPAGE_VTAB") && flags.contains("SQLITE_ENABLE_PREUPDATE_HOOK"),
        "SQLite must be built with sqlite_dbpage and the preupdate hook. Build inside the checkout, where .cargo/config.toml sets the flags, \
         or run: LIBSQLITE3_FLAGS=\"-DSQLITE_ENABLE_DBPAGE_VTAB -DSQLITE_ENABLE_DBSTAT_VTAB \
         -DSQLITE_ENABLE_PREUPDATE_HOOK -DSQLITE_ENABLE_SESSION -DHAVE_FDATASYNC=1 \
         -DSQLITE_DEFAULT_MEMSTATUS=0\" cargo install …"
    );
}
