//! The listening socket.

use crate::config::{Family, Settings};
use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// No address could be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The name has no address of the wanted family.
    #[error("can't listen on {host}: it has no {family}address (setting -l)")]
    NoAddress {
        /// What was set.
        host: String,
        /// `IPv4 `, `IPv6 ` or nothing.
        family: &'static str,
    },
    /// The name can't be resolved.
    #[error("can't listen on {host}: {error} (setting -l)")]
    Resolve {
        /// What was set.
        host: String,
        /// Why.
        error: io::Error,
    },
    /// The port can't be bound.
    #[error("can't listen on {address}: {error}; {} (settings -l, -p)", hint(.error))]
    Bind {
        /// The last address that was tried.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The service manager passed a socket that is of no use.
    #[error(
        "can't use the socket that the service manager passed: {0} \
         (unit corosync-qnetd.socket; without that unit, -l and -p apply)"
    )]
    Passed(io::Error),
    /// The service manager passed several sockets.
    #[error(
        "the service manager passed {0} sockets, and only one can be used: keep one \
         ListenStream= in corosync-qnetd.socket (a bare port number takes IPv4 and IPv6)"
    )]
    SeveralPassed(usize),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "is another vote server running?",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        io::ErrorKind::PermissionDenied => "ports below 1024 need privileges",
        _ => "choose another address or port",
    }
}

/// The socket to listen on: the one that the service manager passed (sd_listen_fds(3)), or else a
/// new one. For a passed one, `settings` are told its address, which is what tools ask for.
///
/// # Errors
/// The passed one is no listening TCP socket, or is one of several, or no address can be bound.
pub fn open(settings: &mut Settings) -> Result<std::net::TcpListener, ListenError> {
    let mut passed = ListenFd::from_env();
    if passed.len() > 1 {
        return Err(ListenError::SeveralPassed(passed.len()));
    }
    match passed.take_tcp_listener(0).map_err(ListenError::Passed)? {
        Some(listener) => adopt(listener, settings).map_err(ListenError::Passed),
        None => bind(settings),
    }
}

fn adopt(
    listener: std::net::TcpListener,
    settings: &mut Settings,
) -> io::Result<std::net::TcpListener> {
    if !SockRef::from(&listener).is_listener()? {
        return Err(io::Error::other("it is not a listening socket"));
    }
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    settings.port = address.port();
    settings.listen = Some(address.ip())
        .filter(|ip| !ip.is_unspecified())
        .map(|ip| ip.to_string());
    tracing::info!(
        "the service manager passed a socket on {address}: -l, -p, -4 and -6 are not used"
    );
    Ok(listener)
}

/// Binds the first address that can be bound.
///
/// # Errors
/// None can.
pub fn bind(settings: &Settings) -> Result<std::net::TcpListener, ListenError> {
    let mut last = None;
    for address in candidates(settings)? {
        match bind_one(address, settings) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(ListenError::Bind { address, error }),
        }
    }
    let host = settings.listen.clone().unwrap_or_else(|| "*".to_owned());
    Err(last.unwrap_or(ListenError::NoAddress {
        host,
        family: family_word(settings.family),
    }))
}

fn candidates(settings: &Settings) -> Result<Vec<SocketAddr>, ListenError> {
    let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), settings.port);
    let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), settings.port);
    let Some(host) = &settings.listen else {
        return Ok(match settings.family {
            Family::Both => vec![v6, v4],
            Family::V4 => vec![v4],
            Family::V6 => vec![v6],
        });
    };
    let found = (host.as_str(), settings.port)
        .to_socket_addrs()
        .map_err(|error| ListenError::Resolve {
            host: host.clone(),
            error,
        })?;
    let found: Vec<SocketAddr> = found
        .filter(|address| match settings.family {
            Family::Both => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        })
        .collect();
    if found.is_empty() {
        let family = family_word(settings.family);
        return Err(ListenError::NoAddress {
            host: host.clone(),
            family,
        });
    }
    Ok(found)
}

const fn family_word(family: Family) -> &'static str {
    match family {
        Family::Both => "",
        Family::V4 => "IPv4 ",
        Family::V6 => "IPv6 ",
    }
}

fn bind_one(address: SocketAddr, settings: &Settings) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        let takes_v4 = settings.family == Family::Both && address.ip().is_unspecified();
        socket.set_only_v6(!takes_v4)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(settings.listen_backlog)?;
    Ok(socket.into())
}

/// Prepares an accepted connection: votes leave at once, and a peer that is gone is found out
/// even while nothing is sent to it (protocol spec, D15).
pub(super) fn prepare(stream: &tokio::net::TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(5))
        .with_interval(Duration::from_secs(5))
        .with_retries(6);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passed_socket_overrules_the_settings() {
        for (address, shown) in [
            ("127.0.0.1:0", Some("127.0.0.1")),
            ("[::1]:0", Some("::1")),
            ("0.0.0.0:0", None),
            ("[::]:0", None),
        ] {
            let passed = std::net::TcpListener::bind(address).unwrap();
            let port = passed.local_addr().unwrap().port();
            let mut settings = Settings {
                listen: Some("192.0.2.1".to_owned()),
                port: 1,
                ..Settings::default()
            };
            let listener = adopt(passed, &mut settings).unwrap();
            assert_eq!(settings.listen.as_deref(), shown, "{address}");
            assert_eq!(settings.port, port);
            let none = listener.accept().unwrap_err();
            assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_connection_is_no_listening_socket() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let passed = std::net::TcpListener::from(std::os::fd::OwnedFd::from(connection));
        let error = adopt(passed, &mut Settings::default()).unwrap_err();
        assert!(
            error.to_string().contains("not a listening socket"),
            "{error}"
        );
    }
}
