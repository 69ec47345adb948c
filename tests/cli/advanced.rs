//! The bounds of every `-S` setting and of the flags with a number, beside the reference's
//! (protocol spec, 9.1 and 9.2).

use crate::flags::{Both, after_name, both};

/// Demands that both take it, or both refuse it with the same words.
fn same(arguments: &[&str]) {
    let Both { theirs, ours } = both(arguments);
    let taken = theirs.stderr.contains("Can't open NSS DB directory");
    if taken {
        let stopped = ours.stderr.contains("Not a directory");
        assert!(stopped, "{arguments:?}: {}", ours.stderr);
    } else {
        let (theirs, ours) = (after_name(&theirs.stderr), after_name(&ours.stderr));
        assert_eq!(ours, theirs, "{arguments:?}");
    }
}

const NUMBERS: &[&str] = &[
    "-1",
    "0",
    "1",
    "2",
    "15",
    "16",
    "1023",
    "1024",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "+2000",
    " 2000",
    "\t2000",
    "2000 ",
    "0x20",
    "2000.5",
    "=2000",
    "",
];

#[test]
fn numbers_have_the_references_bounds() {
    for name in [
        "listen_backlog",
        "local_socket_backlog",
        "max_client_send_buffers",
        "max_client_send_size",
        "max_client_receive_size",
        "heartbeat_interval_min",
        "heartbeat_interval_max",
        "ipc_max_clients",
        "ipc_max_receive_size",
        "ipc_max_send_size",
    ] {
        for number in NUMBERS {
            same(&["-S", &format!("{name}={number}")]);
        }
    }
}

#[test]
fn flags_with_a_number_have_the_references_bounds() {
    for number in NUMBERS.iter().chain(&["65535", "65536", "010"]) {
        same(&["-m", number]);
        same(&["-p", number]);
    }
}

#[test]
fn words_and_fractions_are_the_references() {
    for name in ["dpd_enabled", "keep_active_partition_tie_breaker"] {
        for word in [
            "on", "ON", "yes", "1", "off", "No", "0", "true", "false", "", "2",
        ] {
            same(&["-S", &format!("{name}={word}")]);
        }
    }
    for number in [
        "0.9", "0.9999", "1", "1.0", "1.", "1000", "1000.1", "nan", "inf", "-1", "1e2", "+2", " 2",
        "2 ", "", "x",
    ] {
        same(&["-S", &format!("dpd_interval_coefficient={number}")]);
    }
}

#[test]
fn texts_and_lists_are_the_references() {
    for argument in [
        "cert_nickname=x",
        "lock_file=a=b",
        "local_socket_file=x",
        "dpd_interval=x",
        "dpd_interval",
        "listen_backlog",
        "listen_backlog=7,",
        ",x=1",
        "listen_backlog =3",
        " listen_backlog=3",
        "Listen_Backlog=3",
    ] {
        same(&["-S", argument]);
    }
}

/// What can't work is refused at once; the reference takes it, and ends a little later.
#[test]
fn paths_that_no_socket_or_file_can_have_are_refused_at_once() {
    let long = format!("local_socket_file=/{}", "x".repeat(107));
    for argument in ["lock_file=", "local_socket_file=", "cert_nickname=", &long] {
        let Both { theirs, ours } = both(&["-S", argument]);
        assert_eq!((theirs.code, ours.code), (Some(1), Some(1)), "{argument}");
        let (name, value) = argument.split_once('=').unwrap();
        let text = format!("Invalid value '{value}' for option '{name}'");
        assert_eq!(after_name(&ours.stderr), [text]);
    }
    // Only later does the reference find that there is no such address.
    let Both { theirs, ours } = both(&["-l", ""]);
    assert_eq!((theirs.code, ours.code), (Some(1), Some(1)));
    assert!(
        ours.stderr
            .contains("-l: listen.address = \"\" is not possible")
    );
}
