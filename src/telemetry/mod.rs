//! What the arbiter tells its operator and the service manager.

mod budget;
pub mod events;
pub mod history;
pub mod log;
pub mod metrics;
pub mod observer;
pub mod syslog;
pub mod systemd;
