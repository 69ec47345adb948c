//! TLS handshakes, away from the threads that serve votes.
//!
//! A handshake costs a signature and several verifications. When hundreds of nodes come at once,
//! as after a power cut, a node that is already there must not wait for them.

use crate::tls::{Received, TlsError, TlsSession};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Runs steps of handshakes on threads of their own, at most on half of the processors at a time,
/// in the order in which they came.
#[derive(Debug, Clone)]
pub struct HandshakePool {
    slots: Arc<Semaphore>,
}

/// What one step left.
pub struct Step {
    /// The session.
    pub tls: TlsSession,
    /// What became of it.
    pub result: Result<Received, TlsError>,
    /// Decrypted data, if the handshake ended within the step.
    pub plain: Vec<u8>,
    /// Bytes for the peer.
    pub wire: Vec<u8>,
}

impl HandshakePool {
    /// A pool for this machine.
    pub fn new() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(Self::threads())),
        }
    }

    /// How many threads handshakes use on this machine.
    pub fn threads() -> usize {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        processors.div_ceil(2)
    }

    /// Feeds bytes from the peer to a session that is still in its handshake. `None` if the
    /// runtime is shutting down.
    pub async fn step(&self, mut tls: TlsSession, input: Vec<u8>) -> Option<Step> {
        let permit = self.slots.clone().acquire_owned().await.ok()?;
        tokio::task::spawn_blocking(move || {
            let (mut plain, mut wire) = (Vec::new(), Vec::new());
            let result = tls.receive(&input, &mut plain, &mut wire);
            drop(permit);
            Step {
                tls,
                result,
                plain,
                wire,
            }
        })
        .await
        .ok()
    }
}

impl Default for HandshakePool {
    fn default() -> Self {
        Self::new()
    }
}
