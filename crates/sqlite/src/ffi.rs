//! The only unsafe code of Ferry: calls into C that no crate wraps.
#![allow(unsafe_code, reason = "the one place for it")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

use libsqlite3_sys as c;
use rusqlite::Connection;

use crate::tracked::{AccessAttempt, Tracker};

/// Gives all free pages of the system's allocator back to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn trim() {
    // SAFETY: the declaration is glibc's; the function takes any number and may be called from any thread.
    unsafe extern "C" {
        safe fn malloc_trim(pad: usize) -> c_int;
    }
    malloc_trim(0);
}

/// Under which name a connection keeps its [`Tracker`].
const TRACKER: &CStr = c"ferry_tracker";

/// The tracker of a connection. The first call makes it and sets it as the connection's authorizer, for good: setting one
/// where one is set already would expire all prepared statements.
///
/// # Errors
/// When there is no memory.
pub(crate) fn tracker(connection: &Connection) -> rusqlite::Result<&Tracker> {
    // SAFETY: the handle is that of an open connection. Under this name nothing but a `Tracker` from `Box::into_raw` is
    // stored, once. SQLite drops it when the connection is closed, which needs the connection itself, and so not before
    // the borrow ends that is returned. Where storing it fails SQLite has dropped it already.
    unsafe {
        let db = connection.handle();
        let held = c::sqlite3_get_clientdata(db, TRACKER.as_ptr());
        if !held.is_null() {
            return Ok(&*held.cast::<Tracker>());
        }
        let made = Box::into_raw(Box::<Tracker>::default());
        let code = c::sqlite3_set_clientdata(db, TRACKER.as_ptr(), made.cast(), Some(drop_tracker));
        if code != c::SQLITE_OK {
            return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
        }
        c::sqlite3_set_authorizer(db, Some(authorize), made.cast());
        Ok(&*made)
    }
}

// SAFETY: SQLite calls it once, with what `tracker` stored.
unsafe extern "C" fn drop_tracker(tracker: *mut c_void) {
    // SAFETY: see above.
    drop(unsafe { Box::from_raw(tracker.cast::<Tracker>()) });
}

// SAFETY: SQLite calls it with what `tracker` set, and with texts that end with NUL, or none.
unsafe extern "C" fn authorize(
    tracker: *mut c_void,
    code: c_int,
    first: *const c_char,
    second: *const c_char,
    _: *const c_char,
    accessor: *const c_char,
) -> c_int {
    // SAFETY: the tracker lives as long as its connection, and is only used by the thread that has the connection.
    let tracker = unsafe { &*tracker.cast::<Tracker>() };
    if tracker.is_off() {
        return c::SQLITE_OK;
    }
    let text = |text: *const c_char| {
        // SAFETY: as told above; it is not used after this call.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy())
    };
    let (first, second, accessor) = (text(first), text(second), text(accessor));
    let attempt = AccessAttempt {
        code,
        first: first.as_deref().unwrap_or_default(),
        second: second.as_deref().unwrap_or_default(),
        accessor: accessor.as_deref(),
    };
    match catch_unwind(AssertUnwindSafe(|| tracker.authorize(&attempt))) {
        Ok(true) => c::SQLITE_OK,
        Ok(false) | Err(_) => c::SQLITE_DENY,
    }
}

/// What a statement that runs is told now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqlProgress {
    /// Go on.
    GoOn,
    /// Fail by itself, which undoes the statement alone: from now on no value and no row may be longer than SQLite's
    /// least limit, 30 bytes. Whoever asked gives the connection its limit back.
    Starve,
    /// Stop. A statement that writes takes its whole transaction along.
    Stop,
}

/// Runs `work`, whose statements ask `next` after so many steps of SQLite's virtual machine.
pub(crate) fn with_progress<T>(
    connection: &Connection,
    steps: c_int,
    next: &mut dyn FnMut() -> SqlProgress,
    work: impl FnOnce() -> T,
) -> T {
    struct Asked<'a> {
        db: *mut c::sqlite3,
        next: &'a mut dyn FnMut() -> SqlProgress,
    }
    // SAFETY: SQLite calls it with the `Asked` below, which is there until the handler is taken away.
    unsafe extern "C" fn ask(asked: *mut c_void) -> c_int {
        // SAFETY: see above; nobody else uses it meanwhile. Setting a limit is allowed in the handler.
        unsafe {
            let asked = &mut *asked.cast::<Asked<'_>>();
            match catch_unwind(AssertUnwindSafe(|| (asked.next)())) {
                Ok(SqlProgress::GoOn) => 0,
                Ok(SqlProgress::Starve) => {
                    c::sqlite3_limit(asked.db, c::SQLITE_LIMIT_LENGTH, 1);
                    0
                }
                Ok(SqlProgress::Stop) | Err(_) => 1,
            }
        }
    }
    struct TakenAway(*mut c::sqlite3);
    impl Drop for TakenAway {
        fn drop(&mut self) {
            // SAFETY: the connection outlives the call of `with_progress`.
            unsafe { c::sqlite3_progress_handler(self.0, 0, None, ptr::null_mut()) };
        }
    }
    // SAFETY: the handle is that of an open connection.
    let db = unsafe { connection.handle() };
    let mut asked = Asked { db, next };
    let _taken_away = TakenAway(db);
    // SAFETY: `asked` is declared before what takes the handler away, and so outlives it.
    unsafe { c::sqlite3_progress_handler(db, steps, Some(ask), (&raw mut asked).cast()) };
    work()
}

/// A row that is about to be changed, inside the hook.
pub(crate) struct RowChange<'a> {
    db: *mut c::sqlite3,
    operation: c_int,
    table: &'a CStr,
}

/// What a changed row holds in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeldValue<'a> {
    Null,
    Integer(i64),
    Text(&'a [u8]),
    /// Anything else, or nobody knows.
    Other,
}

impl RowChange<'_> {
    /// The table, as SQLite calls it.
    pub(crate) const fn table(&self) -> &CStr {
        self.table
    }

    /// How many columns its rows have.
    pub(crate) fn columns(&self) -> usize {
        // SAFETY: the handle is that of the connection whose hook is running.
        usize::try_from(unsafe { c::sqlite3_preupdate_count(self.db) }).unwrap_or(0)
    }

    /// Whether there was a row before, and is one after.
    pub(crate) const fn has(&self) -> (bool, bool) {
        (self.operation != c::SQLITE_INSERT, self.operation != c::SQLITE_DELETE)
    }

    /// Gives `take` what the row held in a column, or holds now.
    pub(crate) fn held<T>(&self, is_now: bool, column: usize, take: impl FnOnce(HeldValue<'_>) -> T) -> T {
        let column = c_int::try_from(column).unwrap_or(c_int::MAX);
        let mut value = ptr::null_mut();
        // SAFETY: the handle is that of the connection whose hook is running. The value is SQLite's, and is used before the
        // hook returns; its text is there until its value is asked for in another form, and is as long as SQLite tells after
        // it has given it.
        unsafe {
            let get = if is_now { c::sqlite3_preupdate_new } else { c::sqlite3_preupdate_old };
            if get(self.db, column, &raw mut value) != c::SQLITE_OK || value.is_null() {
                return take(HeldValue::Other);
            }
            match c::sqlite3_value_type(value) {
                c::SQLITE_NULL => take(HeldValue::Null),
                c::SQLITE_INTEGER => take(HeldValue::Integer(c::sqlite3_value_int64(value))),
                c::SQLITE_TEXT => {
                    let text = c::sqlite3_value_text(value);
                    let length = usize::try_from(c::sqlite3_value_bytes(value)).unwrap_or(0);
                    if text.is_null() {
                        return take(HeldValue::Other);
                    }
                    take(HeldValue::Text(std::slice::from_raw_parts(text, length)))
                }
                _ => take(HeldValue::Other),
            }
        }
    }
}

/// Runs `work`, and tells `changed` each row that its statements change, before it is changed. Statements prepared meanwhile
/// delete the rows of a whole table one by one, so that they are told too.
pub(crate) fn with_row_changes<T>(
    connection: &Connection,
    changed: &mut dyn FnMut(&RowChange<'_>),
    work: impl FnOnce() -> T,
) -> T {
    struct Told<'a>(&'a mut dyn FnMut(&RowChange<'_>));
    // SAFETY: SQLite calls it with the `Told` below, which is there until the hook is taken away, and with names that end
    // with NUL.
    unsafe extern "C" fn tell(
        told: *mut c_void,
        db: *mut c::sqlite3,
        operation: c_int,
        _: *const c_char,
        table: *const c_char,
        _: i64,
        _: i64,
    ) {
        // SAFETY: see above; nobody else uses it meanwhile.
        let (told, table) = unsafe { (&mut *told.cast::<Told<'_>>(), CStr::from_ptr(table)) };
        let change = RowChange { db, operation, table };
        let _ = catch_unwind(AssertUnwindSafe(|| (told.0)(&change)));
    }
    struct TakenAway(*mut c::sqlite3);
    impl Drop for TakenAway {
        fn drop(&mut self) {
            // SAFETY: the connection outlives the call of `with_row_changes`.
            unsafe { c::sqlite3_preupdate_hook(self.0, None, ptr::null_mut()) };
        }
    }
    // SAFETY: the handle is that of an open connection.
    let db = unsafe { connection.handle() };
    let mut told = Told(changed);
    let _taken_away = TakenAway(db);
    // SAFETY: `told` is declared before what takes the hook away, and so outlives it.
    unsafe { c::sqlite3_preupdate_hook(db, Some(tell), (&raw mut told).cast()) };
    work()
}

/// Whether a row breaks a foreign key that is checked at the end of the transaction.
pub(crate) fn has_broken_foreign_keys(connection: &Connection) -> bool {
    let (mut now, mut highest) = (0, 0);
    // SAFETY: the handle is that of an open connection; both numbers are there during the call.
    let code = unsafe {
        let db = connection.handle();
        c::sqlite3_db_status(db, c::SQLITE_DBSTATUS_DEFERRED_FKS, &raw mut now, &raw mut highest, 0)
    };
    code == c::SQLITE_OK && now > 0
}
