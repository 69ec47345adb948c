# shellcheck shell=bash
# For the tests of boxes that we don't have: a small root directory with busybox in it.

# Runs the calling script again, in a network and process tree of its own that end with it.
apart() {
    if [ -z "${BOXES_APART:-}" ]; then
        BOXES_APART=1 exec unshare --net --pid --fork --kill-child --mount --mount-proc "$@"
    fi
    ip link set lo up
    # As in most containers.
    echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6
}

die() {
    echo "${0##*/boxes/}: $*" >&2
    exit 1
}

# Sets `root` to a new root directory.
make_root() {
    root=$(mktemp -d)
    # Never rm -rf: /proc is mounted below.
    trap 'umount --lazy --recursive "$root"; rmdir "$root"' EXIT
    mount -t tmpfs tmpfs "$root"
    mkdir -p "$root"/{bin,dev,etc,proc,tmp,usr/bin,var/run}
    cp "$(command -v busybox)" "$root/bin/busybox"
    chroot "$root" /bin/busybox --install -s /bin
    mknod -m 666 "$root/dev/null" c 1 3
    mknod -m 666 "$root/dev/urandom" c 1 9
    mount -t proc proc "$root/proc"
    echo 'root:x:0:0:root:/root:/bin/ash' >"$root/etc/passwd"
    echo 'root:x:0:' >"$root/etc/group"
}

# Puts a program there, with loader and libraries unless it is static.
add_program() {
    local program=$1 library
    cp --remove-destination "$program" "$root/usr/bin/${program##*/}"
    ldd "$program" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
        install -D "$library" "$root$library"
    done
}

# Runs a command until it succeeds.
soon() {
    for _ in $(seq 100); do
        if "$@"; then return 0; fi
        sleep 0.1
    done
    return 1
}
