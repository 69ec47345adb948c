//! Readiness for the service manager (sd_notify(3)).

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

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
}
