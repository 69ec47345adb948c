//! What blocks: looking up names and reading files. Each hook has one of each at a time, so that
//! one whose calls do not end can't take the threads that others need.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Threads that one hook may keep waiting.
pub(super) const EACH: usize = 2;

/// The places of one hook.
#[derive(Debug)]
pub(super) struct Waits {
    files: Arc<Semaphore>,
    names: Arc<Semaphore>,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            files: Arc::new(Semaphore::new(1)),
            names: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Waits {
    /// Reads files; `None` if that takes too long.
    pub(super) async fn file<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        one(&self.files, limit, work).await
    }

    /// Looks up a name; `None` if that takes too long.
    pub(super) async fn name<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        one(&self.names, limit, work).await
    }
}

async fn one<T: Send + 'static>(
    places: &Arc<Semaphore>,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let places = places.clone();
    let done = async {
        let place = places.acquire_owned().await.ok()?;
        // The place is free when the call ends, and not when nobody waits for it any more.
        let work = move || {
            let done = work();
            drop(place);
            done
        };
        spawn_blocking(work).await.ok()
    };
    timeout(limit, done).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_hook_whose_names_are_not_found_takes_one_thread() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2)
            .build()
            .unwrap();
        let begin = Instant::now();
        runtime.block_on(async {
            let (bad, good) = (Waits::default(), Waits::default());
            let slow = || std::thread::sleep(Duration::from_secs(2));
            let soon = Duration::from_millis(50);
            for _ in 0..4 {
                assert_eq!(bad.name(soon, slow).await, None);
            }
            let patience = Duration::from_secs(1);
            assert_eq!(good.name(patience, || 7).await, Some(7));
            assert_eq!(good.file(patience, || 8).await, Some(8));
        });
        assert!(begin.elapsed() < Duration::from_secs(2));
        runtime.shutdown_background();
    }
}
