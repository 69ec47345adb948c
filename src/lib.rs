//! qarbiter.
