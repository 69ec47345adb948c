//! qarbiter.
fn main() {}
