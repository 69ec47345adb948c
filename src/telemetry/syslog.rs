//! The system log, as the reference uses it: facility daemon, with the process id
//! (protocol spec, section 12.1; RFC 3164 over `/dev/log`).

use std::io;
use std::os::unix::net::UnixDatagram;
use tracing::Level;

const SOCKET: &str = "/dev/log";
const FACILITY_DAEMON: u8 = 3;

/// A connection to the system log.
#[derive(Debug)]
pub struct Syslog {
    socket: UnixDatagram,
    identity: String,
}

impl Syslog {
    /// Connects under a program's name.
    ///
    /// # Errors
    /// There is no system log on this machine.
    pub fn open(identity: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SOCKET)?;
        // A log that does not read must not hold up the thread that writes.
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            identity: format!("{identity}[{}]", std::process::id()),
        })
    }

    /// Sends one line.
    ///
    /// # Errors
    /// The log does not take it, for instance because it is restarting.
    pub fn send(&self, level: Level, text: &str) -> io::Result<()> {
        self.socket
            .send(line(level, &self.identity, text).as_bytes())
            .map(|_| ())
    }
}

fn line(level: Level, identity: &str, text: &str) -> String {
    let severity = match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    };
    format!("<{}>{identity}: {text}", FACILITY_DAEMON * 8 + severity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priority_is_facility_and_severity() {
        assert_eq!(
            line(Level::ERROR, "corosync-qnetd[7]", "x"),
            "<27>corosync-qnetd[7]: x"
        );
        assert_eq!(line(Level::DEBUG, "a[1]", "x"), "<31>a[1]: x");
    }
}
