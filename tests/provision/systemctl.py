#!/usr/bin/python3
"""A stand-in for systemctl, in namespaces where no systemd can run.

It reads the distribution's own unit files and does what they say, as far as they say
Type=notify, EnvironmentFile=, ExecStart=, User=, RuntimeDirectory=, RuntimeDirectoryMode=,
PrivateTmp= and StandardError=. `start` returns when the program has said READY=1, and fails if it
ends first. Not done: dependencies, conditions, restarts, ExecStop= (SIGTERM is sent instead), and
everything that is only hardening.
"""

import ctypes
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import time

UNITS = ["/etc/systemd/system", "/lib/systemd/system"]
STATE = "/run/systemctl"
PATIENCE = 30


def unit_file(unit):
    paths = (os.path.join(place, unit) for place in UNITS)
    return next((path for path in paths if os.path.exists(path)), None)


def settings_of(unit):
    path = unit_file(unit)
    if path is None:
        sys.exit(f"Failed to start {unit}: Unit {unit} not found.")
    settings = {}
    with open(path) as lines:
        for line in lines:
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith(("#", ";")):
                settings.setdefault(key, []).append(value)
    return settings


def environment_of(settings):
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    for path in settings.get("EnvironmentFile", []):
        try:
            with open(path.removeprefix("-")) as lines:
                for line in lines:
                    found = re.match(r'\s*([A-Za-z_]\w*)=["\']?(.*?)["\']?\s*$', line)
                    if found:
                        environment[found[1]] = found[2]
        except FileNotFoundError:
            if not path.startswith("-"):
                raise
    return environment


def arguments_of(settings, environment):
    arguments = []
    for word in settings["ExecStart"][-1].split():
        # An unbraced variable becomes as many words as it holds.
        known = word.startswith("$")
        arguments += environment.get(word[1:], "").split() if known else [word]
    return arguments


def process_of(unit):
    """The process id of a running unit, or None."""
    try:
        with open(f"{STATE}/{unit}.pid") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/stat") as file:
            return None if file.read().rsplit(")", 1)[1].split()[0] == "Z" else pid
    except (FileNotFoundError, ProcessLookupError):
        return None


def start(unit):
    if process_of(unit) is not None:
        return
    settings = settings_of(unit)
    environment = environment_of(settings)
    user = pwd.getpwnam(settings.get("User", ["root"])[-1])
    for name in settings.get("RuntimeDirectory", []):
        path = os.path.join("/run", name)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, int(settings.get("RuntimeDirectoryMode", ["0755"])[-1], 8))
        os.chown(path, user.pw_uid, user.pw_gid)
    os.makedirs(STATE, exist_ok=True)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    address = f"{STATE}/{unit}.notify"
    if os.path.exists(address):
        os.unlink(address)
    notify.bind(address)
    os.chmod(address, 0o777)
    environment["NOTIFY_SOCKET"] = address

    def become():
        if settings.get("PrivateTmp", ["no"])[-1] == "yes":
            libc = ctypes.CDLL(None, use_errno=True)
            new_namespace, private = 0x00020000, (1 << 18) | 0x4000
            done = libc.unshare(new_namespace) == 0
            done = done and libc.mount(b"none", b"/", None, private, None) == 0
            done = done and libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None) == 0
            if not done:
                raise OSError(ctypes.get_errno(), "no private /tmp")
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)

    # Standard error would go to the journal, or to nobody; here a failing test shows it.
    with open(f"{STATE}/{unit}.log", "ab") as log:
        child = subprocess.Popen(
            arguments_of(settings, environment),
            env=environment,
            preexec_fn=become,
            start_new_session=True,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    with open(f"{STATE}/{unit}.pid", "w") as file:
        file.write(str(child.pid))
    notify.settimeout(0.1)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if b"READY=1" in notify.recv(4096).split(b"\n"):
                return
        except socket.timeout:
            pass
        if child.poll() is not None:
            sys.exit(
                f"Job for {unit} failed because the control process exited with error code.\n"
                f"({child.returncode}, the log is {STATE}/{unit}.log)"
            )
    sys.exit(f"Job for {unit} failed because a timeout was exceeded.")


def stop(unit):
    pid = process_of(unit)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while process_of(unit) is not None:
        if time.monotonic() > deadline:
            sys.exit(f"Job for {unit} failed because a timeout was exceeded.")
        time.sleep(0.02)


def wants(unit):
    return f"/etc/systemd/system/multi-user.target.wants/{unit}"


def enable(unit):
    settings_of(unit)
    os.makedirs(os.path.dirname(wants(unit)), exist_ok=True)
    if not os.path.lexists(wants(unit)):
        os.symlink(unit_file(unit), wants(unit))


def disable(unit):
    if os.path.lexists(wants(unit)):
        os.unlink(wants(unit))


def say(word, good):
    print(word)
    sys.exit(0 if good else 3)


def main():
    flags = [word for word in sys.argv[1:] if word.startswith("-")]
    verb, *units = [word for word in sys.argv[1:] if not word.startswith("-")]
    units = [unit if unit.endswith(".service") else unit + ".service" for unit in units]
    if verb == "list-unit-files":
        for place in UNITS:
            for name in sorted(os.listdir(place)):
                if name.endswith(".service"):
                    enabled = os.path.lexists(wants(name))
                    print(name, "enabled" if enabled else "disabled", "enabled")
        return
    for unit in units:
        if verb == "start":
            start(unit)
        elif verb == "stop":
            stop(unit)
        elif verb == "restart":
            stop(unit)
            start(unit)
        elif verb == "enable":
            enable(unit)
            if "--now" in flags:
                start(unit)
        elif verb == "disable":
            disable(unit)
        elif verb == "is-active":
            active = process_of(unit) is not None
            say("active" if active else "inactive", active)
        elif verb == "is-enabled":
            enabled = os.path.lexists(wants(unit))
            say("enabled" if enabled else "disabled", enabled)
        else:
            sys.exit(f"this stand-in for systemctl cannot {verb}")


main()
