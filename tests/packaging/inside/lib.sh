# What the parts have in common. They run inside the container, as root.
set -euo pipefail

db=/etc/corosync/qnetd/nssdb
reference=$(apt-cache madison corosync-qnetd | awk '{print $3}' | grep -v '^1:')
ours=$(apt-cache madison corosync-qnetd | awk '{print $3}' | grep '^1:')

ok() { echo "ok: $*"; }
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
# check WHAT COMMAND...: the command must succeed.
check() {
    local what=$1
    shift
    "$@" || fail "$what: $*"
    ok "$what"
}
# same WHAT ONE OTHER: both must be equal.
same() {
    [ "$2" = "$3" ] || fail "$1: expected '$3', found '$2'"
    ok "$1"
}
# soon COMMAND...: the command must succeed within 30 seconds.
soon() {
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    echo "not within 30 s: $*" >&2
    return 1
}

package() { apt-get -qq -y "$@" >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; fail "apt-get $*"; }; }
install_reference() { package install --allow-downgrades "corosync-qnetd=$reference"; }
install_ours() { package install "corosync-qnetd=$ours"; }
installed() { dpkg-query -W -f '${Version}' corosync-qnetd; }

# The keys and certificates, file by file. Lock files are not among them.
keys() { (cd "$db" && find . -type f ! -name '.*' -print0 | sort -z | xargs -0 sha256sum); }
owners() { stat -c '%n %a %U:%G' "$db" "$db/cert9.db" "$db/key4.db"; }

main_pid() { systemctl show -P MainPID corosync-qnetd; }
is_ours() { [ "$(readlink "/proc/$(main_pid)/exe")" = /usr/bin/qarbiter ]; }
answers() { corosync-qnetd-tool -s; }
restarts() { systemctl show -P NRestarts corosync-qnetd; }
