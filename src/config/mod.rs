//! What an operator can set: the reference's command line and advanced settings, and our own.

pub mod advanced;
pub mod settings;

pub use settings::{ClusterPolicies, Family, SettingError, Settings};
