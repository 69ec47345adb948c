//! What the arbiter tells its operator and the service manager.

mod budget;
pub mod events;
pub mod log;
pub mod syslog;
pub mod systemd;
