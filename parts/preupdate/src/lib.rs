//! SQLite's pre-update hook: the old and new row of every change, before it happens, cascades and triggers included.
//!
//! Needs SQLite compiled with `SQLITE_ENABLE_PREUPDATE_HOOK` (`.cargo/config.toml` sets the C flag; without it the link fails).
//!
//! **Invariant:** the closure lives exactly as long as its connection. [`HookedConnection`] owns both and hands out the connection
//! only by shared reference, so that it can be neither moved away nor swapped.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ffi};

/// A connection whose changes are shown to a closure.
pub struct HookedConnection {
    connection: Connection,
    /// What SQLite holds a pointer to. Boxed twice: the outer box gives the thin, stable address that C carries.
    observer: *mut Observer,
}

type Observer = Box<dyn FnMut(Change<'_>) + Send>;

// SAFETY: `observer` points to a heap allocation owned by this value alone and is `Send` itself; SQLite calls it only on the thread
// that is executing a statement on `connection`, which has `&HookedConnection`, and `Connection` is `Send` but not `Sync`,
// so no two threads do.
unsafe impl Send for HookedConnection {}

impl HookedConnection {
    /// Installs `observer`. It is called on the thread that executes, once per row about to change, before the change; it must not
    /// use the connection. A panic in it is caught and drops that one observation, so keep it from panicking.
    ///
    /// Not called for changes to SQLite's own tables, nor for a `DELETE` that SQLite turns into a truncation of the whole table:
    /// it does not do so while a hook is installed.
    pub fn new(connection: Connection, observer: impl FnMut(Change<'_>) + Send + 'static) -> HookedConnection {
        let observer: Observer = Box::new(observer);
        let observer = Box::into_raw(Box::new(observer));
        // SAFETY: the handle is open, since `connection` is; `observer` stays valid until `drop` has taken the hook away.
        unsafe {
            ffi::sqlite3_preupdate_hook(connection.handle(), Some(before_change), observer.cast());
        }
        HookedConnection { connection, observer }
    }
}

impl Deref for HookedConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Drop for HookedConnection {
    fn drop(&mut self) {
        // SAFETY: `connection` is still open, fields are dropped after this; once the hook is gone nothing else holds the pointer,
        // which came from `Box::into_raw` in `new` and is freed once, here.
        unsafe {
            ffi::sqlite3_preupdate_hook(self.connection.handle(), None, std::ptr::null_mut());
            drop(Box::from_raw(self.observer));
        }
    }
}

/// What is about to happen to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Insert,
    Update,
    Delete,
}

/// One row about to change. Valid only inside the observer's call.
pub struct Change<'a> {
    pub action: Action,
    /// `main`, `temp`, or the name of an attached database.
    pub schema: &'a str,
    pub table: &'a str,
    /// The row's id before; of an INSERT, the same as `new_rowid`.
    pub old_rowid: i64,
    pub new_rowid: i64,
    db: *mut ffi::sqlite3,
}

impl Change<'_> {
    /// Columns of the table, the hidden ones not counted.
    pub fn columns(&self) -> usize {
        // SAFETY: `db` is the connection inside whose hook we are: `Change` is not `Send`, made only by `before_change`, and borrowed for
        // the call.
        usize::try_from(unsafe { ffi::sqlite3_preupdate_count(self.db) }).unwrap_or(0)
    }

    /// 0 for a row the statement itself changes; more for what triggers and foreign keys do on its behalf.
    pub fn depth(&self) -> usize {
        // SAFETY: as in `columns`.
        usize::try_from(unsafe { ffi::sqlite3_preupdate_depth(self.db) }).unwrap_or(0)
    }

    /// The value of column `index` before the change; `None` for an INSERT and beyond the last column.
    pub fn before(&self, index: usize) -> Option<ValueRef<'_>> {
        if self.action == Action::Insert { None } else { self.value(index, ffi::sqlite3_preupdate_old) }
    }

    /// The value of column `index` after the change; `None` for a DELETE and beyond the last column.
    pub fn after(&self, index: usize) -> Option<ValueRef<'_>> {
        if self.action == Action::Delete { None } else { self.value(index, ffi::sqlite3_preupdate_new) }
    }

    fn value(&self, index: usize, read: Reader) -> Option<ValueRef<'_>> {
        let index = c_int::try_from(index).ok()?;
        let mut value = std::ptr::null_mut();
        // SAFETY: as in `columns`. SQLite checks `index` (SQLITE_RANGE) and the action (SQLITE_MISUSE_BKPT) itself.
        let code = unsafe { read(self.db, index, &mut value) };
        if code != ffi::SQLITE_OK || value.is_null() {
            return None;
        }
        // SAFETY: SQLite answered OK, so `value` is a protected value that it keeps until the hook returns; the borrow of `self`
        // cannot outlive that.
        Some(unsafe { borrow(value) })
    }
}

type Reader = unsafe extern "C" fn(*mut ffi::sqlite3, c_int, *mut *mut ffi::sqlite3_value) -> c_int;

/// SAFETY: called by SQLite only, with the pointer given to it in `HookedConnection::new` and names that are NUL-terminated and live
/// for the call.
unsafe extern "C" fn before_change(
    context: *mut c_void,
    db: *mut ffi::sqlite3,
    operation: c_int,
    schema: *const c_char,
    table: *const c_char,
    old_rowid: i64,
    new_rowid: i64,
) {
    let action = match operation {
        ffi::SQLITE_INSERT => Action::Insert,
        ffi::SQLITE_UPDATE => Action::Update,
        ffi::SQLITE_DELETE => Action::Delete,
        _ => return,
    };
    // SAFETY: see above; the observer is not entered twice, because it must not use the connection.
    let (observer, schema, table) = unsafe { (&mut *context.cast::<Observer>(), CStr::from_ptr(schema), CStr::from_ptr(table)) };
    let (Ok(schema), Ok(table)) = (schema.to_str(), table.to_str()) else { return };
    // Unwinding into C is undefined behaviour, so it stops here. The closure's state may be half done; its contract says so.
    let _ = catch_unwind(AssertUnwindSafe(|| observer(Change { action, schema, table, old_rowid, new_rowid, db })));
}

/// SAFETY: `value` must be a protected value that outlives `'a` unchanged.
unsafe fn borrow<'a>(value: *mut ffi::sqlite3_value) -> ValueRef<'a> {
    // SAFETY: the caller's promise. The pointer is asked for before the length, as SQLite's documentation wants it, and a NULL
    // pointer (an empty blob) never becomes a slice.
    unsafe {
        match ffi::sqlite3_value_type(value) {
            ffi::SQLITE_INTEGER => ValueRef::Integer(ffi::sqlite3_value_int64(value)),
            ffi::SQLITE_FLOAT => ValueRef::Real(ffi::sqlite3_value_double(value)),
            ffi::SQLITE_TEXT => ValueRef::Text(bytes(ffi::sqlite3_value_text(value), value)),
            ffi::SQLITE_BLOB => ValueRef::Blob(bytes(ffi::sqlite3_value_blob(value).cast(), value)),
            _ => ValueRef::Null,
        }
    }
}

/// SAFETY: `start` is what `sqlite3_value_text` or `_blob` just answered for `value`.
unsafe fn bytes<'a>(start: *const u8, value: *mut ffi::sqlite3_value) -> &'a [u8] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: SQLite's length belongs to the representation just asked for.
    unsafe { std::slice::from_raw_parts(start, usize::try_from(ffi::sqlite3_value_bytes(value)).unwrap_or(0)) }
}

#[cfg(test)]
mod tests;
