//! What can be wrong with a database.

use thiserror::Error;

/// Why a database cannot be used. The texts are for the administrator and follow the name of the
/// directory; they never contain a secret.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NssError {
    /// The file is no database, has other tables, or contents that cannot be.
    #[error("{file} is damaged: {reason}; restore the directory from a backup")]
    Damaged {
        /// The file's name.
        file: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Another program holds a lock for longer than we wait.
    #[error("{file} is in use by another program, perhaps certutil; try again when it has ended")]
    Busy {
        /// The file's name.
        file: &'static str,
    },
    /// A program was interrupted while it wrote. Only a writer can bring that in order.
    #[error(
        "{file} was being changed when a program or the machine stopped; \
         run `certutil -L -X -d DIRECTORY` as its owner, which brings it in order, and try again"
    )]
    Unfinished {
        /// The file's name.
        file: &'static str,
    },
    /// SQLite failed otherwise, for instance because a file cannot be read.
    #[error("{file} cannot be used: {source}")]
    Sqlite {
        /// The file's name.
        file: &'static str,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// Neither the empty password nor the one in the file opens the database.
    #[error(
        "key4.db is protected by a password that is not the first line of pwdfile.txt; \
         write it there, or remove it with `certutil -W -d DIRECTORY`"
    )]
    Password,
    /// An encrypted value claims more work than any program asks for.
    #[error("key4.db demands {0} rounds of key derivation; at most {max} are done", max = super::crypto::MAX_ITERATIONS)]
    Iterations(u32),
    /// There is no certificate of this name.
    #[error("there is no certificate with the nickname `{wanted}`; there are: {present}")]
    NoCertificate {
        /// The nickname that was looked for.
        wanted: String,
        /// All nicknames.
        present: String,
    },
    /// A certificate's private key is elsewhere.
    #[error(
        "there is no private key for the certificate `{0}`; \
         restore cert9.db and key4.db together from a backup"
    )]
    NoKey(String),
    /// A key of a kind that this program cannot use.
    #[error("the key is {0}; RSA keys of 2048 to 4096 bits and keys on P-256 or P-384 can be used")]
    UnsupportedKey(String),
}

impl NssError {
    pub(super) fn damaged(file: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Damaged {
            file,
            reason: reason.to_string(),
        }
    }

    /// Sorts out what SQLite reports.
    pub(super) fn sqlite(file: &'static str, source: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        use rusqlite::ErrorCode as C;
        use rusqlite::ffi;
        let E::SqliteFailure(failure, _) = &source else {
            // Wrong types and missing columns.
            return Self::damaged(file, source);
        };
        match (failure.code, failure.extended_code) {
            (C::DatabaseBusy | C::DatabaseLocked, _) => Self::Busy { file },
            (_, ffi::SQLITE_READONLY_ROLLBACK | ffi::SQLITE_READONLY_RECOVERY) => {
                Self::Unfinished { file }
            }
            (C::DatabaseCorrupt | C::NotADatabase | C::TooBig, _)
            | (C::Unknown, ffi::SQLITE_ERROR) => Self::damaged(file, source),
            _ => Self::Sqlite { file, source },
        }
    }
}
