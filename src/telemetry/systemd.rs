//! What the service manager wants to know: readiness (sd_notify(3)) and signs of life
//! (sd_watchdog_enabled(3)).

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Tells the service manager that the port answers, if there is one that wants to know.
///
/// # Errors
/// `NOTIFY_SOCKET` is set and can't be written to.
pub fn ready() -> io::Result<()> {
    notify(env::var_os("NOTIFY_SOCKET"), b"READY=1\n")
}

/// Tells the service manager that the arbiter is going down.
///
/// # Errors
/// See [`ready`].
pub fn stopping() -> io::Result<()> {
    notify(env::var_os("NOTIFY_SOCKET"), b"STOPPING=1\n")
}

/// The signs of life that the service manager waits for (`WatchdogSec=`). It ends and restarts a
/// process that stays silent for longer than it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watchdog {
    every: Duration,
}

impl Watchdog {
    /// What the service manager asks of this process; `None` if nothing.
    pub fn from_env() -> Option<Self> {
        Self::wanted(
            env::var("WATCHDOG_USEC").ok().as_deref(),
            env::var("WATCHDOG_PID").ok().as_deref(),
            std::process::id(),
        )
    }

    fn wanted(usec: Option<&str>, pid: Option<&str>, own: u32) -> Option<Self> {
        // The variables may have been meant for a process that started us.
        if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
            return None;
        }
        let limit = usec?.parse().ok().filter(|usec| *usec > 0)?;
        Some(Self {
            every: Duration::from_micros(limit) / 2,
        })
    }

    /// Gives a sign of life twice per period for as long as the runtime gets to it and `check`
    /// returns. A check that waits for a lock that nobody gives back is the end of the signs.
    pub async fn run(self, check: impl Fn()) {
        self.tell(env::var_os("NOTIFY_SOCKET"), check).await;
    }

    async fn tell(self, socket: Option<OsString>, check: impl Fn()) {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            check();
            if let Err(error) = notify(socket.clone(), b"WATCHDOG=1\n") {
                tracing::warn!("can't give the service manager a sign of life: {error}");
            }
        }
    }
}

/// Whether the standard error goes into the journal, where the system log goes too
/// (`JOURNAL_STREAM`, systemd.exec(5)).
pub fn stderr_is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    // A child of a service may have another standard error than the one the variable is about.
    rustix::fs::fstat(rustix::stdio::stderr())
        .is_ok_and(|stderr| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

fn notify(socket: Option<OsString>, message: &[u8]) -> io::Result<()> {
    let Some(socket) = socket.filter(|socket| !socket.is_empty()) else {
        return Ok(());
    };
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn the_manager_hears_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        notify(Some(path.into_os_string()), b"READY=1\n").unwrap();
        let mut buffer = [0; 32];
        let read = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"READY=1\n");
        assert!(notify(None, b"x").is_ok());
        assert!(notify(Some("/nonexistent/socket".into()), b"x").is_err());
    }

    #[test]
    fn only_the_process_that_is_watched_gives_signs() {
        let half = |ms| {
            Some(Watchdog {
                every: Duration::from_millis(ms),
            })
        };
        let wanted = |usec, pid| Watchdog::wanted(usec, pid, 42);
        assert_eq!(wanted(Some("30000000"), Some("42")), half(15_000));
        assert_eq!(wanted(Some("30000000"), None), half(15_000));
        assert_eq!(wanted(Some("30000000"), Some("41")), None);
        assert_eq!(wanted(Some("30000000"), Some("")), None);
        assert_eq!(wanted(None, Some("42")), None);
        assert_eq!(wanted(Some("0"), None), None);
        assert_eq!(wanted(Some("soon"), None), None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn signs_stop_while_a_lock_is_not_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let signs = |patience| {
            manager.set_read_timeout(Some(patience)).unwrap();
            let mut buffer = [0; 32];
            manager.recv(&mut buffer).map(|n| buffer[..n].to_vec())
        };
        let lock = Arc::new(Mutex::new(()));
        let checked = lock.clone();
        let watchdog = Watchdog {
            every: Duration::from_millis(10),
        };
        let check = move || drop(checked.lock().unwrap());
        tokio::spawn(watchdog.tell(Some(path.into_os_string()), check));
        for _ in 0..3 {
            assert_eq!(signs(Duration::from_secs(10)).unwrap(), b"WATCHDOG=1\n");
        }
        let held = lock.lock().unwrap();
        // Those that were on their way.
        while signs(Duration::from_millis(200)).is_ok() {}
        assert!(signs(Duration::from_millis(200)).is_err());
        drop(held);
        assert_eq!(signs(Duration::from_secs(10)).unwrap(), b"WATCHDOG=1\n");
    }
}
