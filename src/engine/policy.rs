//! The settings that the engine obeys.

use crate::wire::{DEFAULT_MESSAGE_SIZE, TlsSupport};
use std::time::Duration;

/// Which rules decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rules {
    /// The votes of the reference server, its weak points included (algorithms spec, sections 5
    /// to 8); its crashes and holes are never reproduced (protocol spec, section 13).
    Reference,
    /// The same with the repairs of the algorithms spec, section 12, and vote leases.
    #[default]
    Safe,
}

impl Rules {
    /// The name of the setting's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Safe => "safe",
        }
    }
}

/// What happens to the vote of a `lms` or `2nodelms` node that was lost while it held it
/// (safety spec, section 3): no time limit proves that such a node stopped casting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LostHolder {
    /// The lease ends at its deadline.
    #[default]
    Timed,
    /// The lease ends when the node comes back or an operator releases it.
    Manual,
}

impl LostHolder {
    /// The name of the setting's value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timed => "timed",
            Self::Manual => "manual",
        }
    }
}

/// The settings of one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterPolicy {
    /// Which rules decide.
    pub rules: Rules,
    /// Whether a lost holder's vote is withheld from others until it must have expired. Has an
    /// effect only with [`Rules::Safe`].
    pub vote_leases: bool,
    /// What ends the lease of a lost `lms` or `2nodelms` holder.
    pub lost_holder: LostHolder,
}

impl ClusterPolicy {
    /// The rules of the reference, without leases.
    pub const REFERENCE: Self = Self {
        rules: Rules::Reference,
        vote_leases: false,
        lost_holder: LostHolder::Timed,
    };

    /// The default.
    pub const SAFE: Self = Self {
        rules: Rules::Safe,
        vote_leases: true,
        lost_holder: LostHolder::Timed,
    };

    /// Whether the repaired rules decide.
    pub const fn is_safe(&self) -> bool {
        matches!(self.rules, Rules::Safe)
    }

    /// Whether leases outlive the connection of their holder.
    pub const fn keeps_leases(&self) -> bool {
        self.is_safe() && self.vote_leases
    }
}

impl Default for ClusterPolicy {
    fn default() -> Self {
        Self::SAFE
    }
}

/// The settings of every connection.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionPolicy {
    /// TLS mode, `-s` (protocol spec, section 6.1).
    pub tls: TlsSupport,
    /// Whether a client inside TLS needs a certificate for its cluster, `-c`.
    pub client_cert_required: bool,
    /// Smallest heartbeat interval, milliseconds.
    pub heartbeat_min_ms: u32,
    /// Largest heartbeat interval, milliseconds.
    pub heartbeat_max_ms: u32,
    /// Dead-peer interval as a multiple of the heartbeat interval, 1 to 1000; `None` switches
    /// dead-peer detection off.
    pub dpd_coefficient: Option<f64>,
    /// Receive limit, bytes per message with its header.
    pub max_receive: u32,
    /// Send limit, bytes per message with its header.
    pub max_send: u32,
    /// Keep-active-partition flag of a client that does not set it.
    pub keep_active: bool,
    /// How long a connection may exist without a successful INIT (protocol spec, D10).
    pub init_deadline: Duration,
}

impl Default for SessionPolicy {
    fn default() -> Self {
        Self {
            tls: TlsSupport::Required,
            client_cert_required: true,
            heartbeat_min_ms: 1000,
            heartbeat_max_ms: 120_000,
            dpd_coefficient: Some(1.5),
            max_receive: DEFAULT_MESSAGE_SIZE,
            max_send: DEFAULT_MESSAGE_SIZE,
            keep_active: false,
            init_deadline: Duration::from_secs(30),
        }
    }
}

/// Longest dead-peer interval, milliseconds (protocol spec, section 7: 5 hours).
const DPD_LIMIT_MS: f64 = 18_000_000.0;

impl SessionPolicy {
    /// The dead-peer interval for a heartbeat interval in milliseconds: `Ok(None)` if dead-peer
    /// detection is off.
    ///
    /// # Errors
    /// The interval is not within 1 ms to 5 hours.
    pub fn dpd_interval(&self, heartbeat_ms: u32) -> Result<Option<Duration>, DpdOutOfRange> {
        let Some(coefficient) = self.dpd_coefficient else {
            return Ok(None);
        };
        let ms = (coefficient * f64::from(heartbeat_ms)).floor();
        if !(1.0..=DPD_LIMIT_MS).contains(&ms) {
            return Err(DpdOutOfRange);
        }
        // Whole milliseconds within 1..=18_000_000, so the conversion is exact.
        Ok(Some(Duration::from_millis(ms as u64)))
    }
}

/// The dead-peer interval for a heartbeat interval is outside 1 ms to 5 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("dead-peer interval is outside 1 ms to 5 hours")]
pub struct DpdOutOfRange;
