//! The command lines.
pub mod certutil;
