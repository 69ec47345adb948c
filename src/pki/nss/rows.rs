//! Rows of tables: what is put in, looked for and counted.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params_from_iter};

use super::crypto::random;
use super::error::NssError;
use super::file::Opened;
use super::schema::{PRIVATE, attribute as a, class, column};

/// Stores a value of the table beside the keys, or replaces it.
pub(super) fn set_meta(
    keys: &Opened,
    id: &str,
    item1: &[u8],
    item2: Option<Vec<u8>>,
) -> Result<(), NssError> {
    let statement = "INSERT INTO metaData (id, item1, item2) VALUES (?1, ?2, ?3)";
    let item2 = item2.map_or(Value::Null, Value::Blob);
    execute(
        keys,
        statement,
        [Value::Text(id.to_owned()), blob(item1), item2],
    )
}

/// A value of bytes.
pub(super) fn blob(bytes: &[u8]) -> Value {
    Value::Blob(bytes.to_vec())
}

/// Runs a statement that yields nothing.
pub(super) fn execute(
    opened: &Opened,
    statement: &str,
    parameters: impl IntoIterator<Item = Value>,
) -> Result<(), NssError> {
    opened
        .connection()
        .execute(statement, params_from_iter(parameters))
        .map(drop)
        .map_err(|error| NssError::sqlite(opened.file(), error))
}

/// Stores an object.
pub(super) fn insert(
    opened: &Opened,
    table: &str,
    object: u32,
    row: Vec<(u32, Vec<u8>)>,
) -> Result<(), NssError> {
    let columns: Vec<_> = row
        .iter()
        .map(|(attribute, _)| column(*attribute))
        .collect();
    let places: Vec<_> = (2..columns.len() + 2)
        .map(|place| format!("?{place}"))
        .collect();
    let statement = format!(
        "INSERT INTO {table} (id, {}) VALUES (?1, {})",
        columns.join(", "),
        places.join(", ")
    );
    let values = row.into_iter().map(|(_, value)| Value::Blob(value));
    execute(
        opened,
        &statement,
        std::iter::once(Value::Integer(object.into())).chain(values),
    )
}

/// A free number for an object: 30 random bits, as NSS chooses them.
pub(super) fn new_object(opened: &Opened, table: &str) -> Result<u32, NssError> {
    loop {
        let object = u32::from_be_bytes(random()) & 0x3fff_ffff;
        let taken = opened
            .connection()
            .query_row(
                &format!("SELECT 1 FROM {table} WHERE id = ?1"),
                [object],
                |_| Ok(()),
            )
            .optional()
            .map_err(|error| NssError::sqlite(opened.file(), error))?;
        if object != 0 && taken.is_none() {
            return Ok(object);
        }
    }
}

/// The numbers of the private keys with this identifier.
pub(super) fn key_objects(keys: &Opened, id: &[u8]) -> Result<Vec<u32>, NssError> {
    let failed = |error| NssError::sqlite(keys.file(), error);
    let mut statement = keys
        .connection()
        .prepare(&format!(
            "SELECT id FROM {PRIVATE} WHERE {} = ?1 AND {} = ?2",
            column(a::CLASS),
            column(a::ID),
        ))
        .map_err(failed)?;
    statement
        .query_map([blob(class::PRIVATE_KEY), blob(id)], |row| row.get(0))
        .and_then(Iterator::collect)
        .map_err(failed)
}
