//! SQLite files, and their images in memory.
//!
//! A database is never changed in place. It is copied into memory under SQLite's lock, changed
//! there, and what results is written beside it and renamed, as every file of the directory. So a
//! power failure leaves the old database or the new one and no journal, and root can change a
//! database in a directory of another user without following links that are not its own.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, MAIN_DB, OpenFlags};
use zeroize::Zeroizing;

use super::error::NssError;

/// How long another program's lock is waited for. certutil holds one for milliseconds.
const BUSY_PATIENCE: Duration = Duration::from_secs(5);

/// Longest value, in bytes. Certificates and keys have a few thousand.
const MAX_VALUE: i32 = 1024 * 1024;

/// A whole database file. It may contain private keys, though encrypted.
pub(in crate::pki) type Image = Zeroizing<Vec<u8>>;

/// One file of a database, opened.
#[derive(Debug)]
pub(in crate::pki) struct Opened {
    file: &'static str,
    connection: Connection,
}

impl Opened {
    /// Opens a file so that it cannot be changed.
    pub(in crate::pki) fn to_read(path: &Path, file: &'static str) -> Result<Self, NssError> {
        Self::open(path, file, OpenFlags::SQLITE_OPEN_READ_ONLY)
    }

    /// Opens a file and keeps other programs from writing until this is dropped.
    pub(in crate::pki) fn to_replace(path: &Path, file: &'static str) -> Result<Self, NssError> {
        let opened = Self::open(path, file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        opened.run("BEGIN IMMEDIATE")?;
        Ok(opened)
    }

    fn open(path: &Path, file: &'static str, access: OpenFlags) -> Result<Self, NssError> {
        let failed = |error| NssError::sqlite(file, error);
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY_PATIENCE).map_err(failed)?;
        Self::guarded(connection, file)
    }

    /// A database in memory from a file's contents.
    pub(super) fn from_image(image: &[u8], file: &'static str) -> Result<Self, NssError> {
        let failed = |error| NssError::sqlite(file, error);
        let mut connection = Connection::open_in_memory().map_err(failed)?;
        connection
            .deserialize_read_exact(MAIN_DB, image, image.len(), false)
            .map_err(failed)?;
        Self::guarded(connection, file)
    }

    /// An empty database in memory.
    pub(super) fn empty(file: &'static str) -> Result<Self, NssError> {
        let failed = |error| NssError::sqlite(file, error);
        Self::guarded(Connection::open_in_memory().map_err(failed)?, file)
    }

    /// The file may come from anyone who may write the directory.
    fn guarded(connection: Connection, file: &'static str) -> Result<Self, NssError> {
        let failed = |error| NssError::sqlite(file, error);
        for setting in [
            DbConfig::SQLITE_DBCONFIG_DEFENSIVE,
            DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA,
        ] {
            let on = matches!(setting, DbConfig::SQLITE_DBCONFIG_DEFENSIVE);
            connection.set_db_config(setting, on).map_err(failed)?;
        }
        connection
            .set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE)
            .map_err(failed)?;
        Ok(Self { file, connection })
    }

    pub(super) fn file(&self) -> &'static str {
        self.file
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs statements without results.
    pub(super) fn run(&self, statements: &str) -> Result<(), NssError> {
        self.connection
            .execute_batch(statements)
            .map_err(|error| NssError::sqlite(self.file, error))
    }

    /// Demands that a name is a table's, and not that of a query which might never end.
    pub(super) fn demand_table(&self, table: &str) -> Result<(), NssError> {
        let found = self
            .connection
            .query_row(
                "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1",
                [table],
                |row| row.get::<_, i64>(0),
            )
            .map_err(|error| NssError::sqlite(self.file, error))?;
        if found == 1 {
            Ok(())
        } else {
            let reason = format!("it has no table {table}");
            Err(NssError::damaged(self.file, reason))
        }
    }

    /// The contents as a file.
    pub(in crate::pki) fn image(&self) -> Result<Image, NssError> {
        let data = self
            .connection
            .serialize(MAIN_DB)
            .map_err(|error| NssError::sqlite(self.file, error))?;
        Ok(Zeroizing::new(data.to_vec()))
    }

    /// A copy in memory, to be changed.
    pub(in crate::pki) fn copy(&self) -> Result<Self, NssError> {
        Self::from_image(&self.image()?, self.file)
    }
}
