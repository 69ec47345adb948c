//! What to write into `corosync.conf`.

use super::words::tie_breaker_setting;
use crate::wire::{Algorithm, TieBreaker};
use std::fmt;

/// The `quorum` section for a cluster with this arbiter.
///
/// `lms` has no `votes`: corosync then gives the device one vote less than there are nodes, also
/// when a node is added later. `ffsplit` must have exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stanza {
    /// The arbiter's address or name as the nodes know it.
    pub host: String,
    /// Its port, if it is not 5403.
    pub port: Option<u16>,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Who wins an exact tie.
    pub tie_breaker: TieBreaker,
}

impl fmt::Display for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "quorum {{")?;
        writeln!(f, "    provider: corosync_votequorum")?;
        writeln!(f, "    device {{")?;
        writeln!(f, "        model: net")?;
        if self.algorithm != Algorithm::Lms {
            writeln!(f, "        votes: 1")?;
        }
        writeln!(f, "        net {{")?;
        writeln!(f, "            tls: required")?;
        writeln!(f, "            host: {}", self.host)?;
        if let Some(port) = self.port {
            writeln!(f, "            port: {port}")?;
        }
        writeln!(f, "            algorithm: {}", self.algorithm.config_name())?;
        if self.tie_breaker != TieBreaker::Lowest {
            let setting = tie_breaker_setting(self.tie_breaker);
            writeln!(f, "            tie_breaker: {setting}")?;
        }
        writeln!(f, "        }}")?;
        writeln!(f, "    }}")?;
        writeln!(f, "}}")
    }
}

/// What to use for so many nodes, if an arbiter is to be used at all: `ffsplit` for an even number,
/// `lms` for an odd one.
pub const fn usual_algorithm(nodes: u32) -> Algorithm {
    if nodes % 2 == 0 {
        Algorithm::FfSplit
    } else {
        Algorithm::Lms
    }
}
