# shellcheck shell=bash
# A Debian machine with a running systemd: a container over a root directory that the first call
# makes and later ones use again.
#
# Needs root, and of Debian: debootstrap procps systemd-container util-linux. The caller sets `work` to
# a directory of its own and has `die`, and calls `machine_down` before it ends.
# shellcheck disable=SC2154 # work

machine_suite=bookworm
# Outside of the work tree, so that a fresh clone does not make it again.
machine_base=${XDG_CACHE_HOME:-$HOME/.cache}/qarbiter/$machine_suite-1
machine_nspawn=
# Its first process, as seen from here.
machine_leader=

# A Debian with the node's side installed and the reference's package at hand in /srv.
machine_prepare() {
    [ ! -d "$machine_base" ] || return 0
    local new=$machine_base.new-$$ packages
    packages=systemd,systemd-sysv,dbus,adduser,iproute2,procps,psmisc
    packages+=,corosync,corosync-qdevice,libnss3-tools,openssl
    rm -rf "$new"
    mkdir -p "$new"
    debootstrap --variant=minbase --include="$packages" "$machine_suite" "$new" >"$new.log" 2>&1 ||
        { tail -20 "$new.log" >&2; die "debootstrap failed, see $new.log"; }
    chroot "$new" sh -c 'apt-get clean; cd /srv; apt-get -qq download corosync-qnetd' ||
        die "can't download the reference's package"
    rm "$new.log"
    # Another run may have been faster.
    mv --no-target-directory "$new" "$machine_base" 2>/dev/null || rm -rf "$new"
}

# machine_up LOG OPTION...: starts it on a fresh layer over the base; options are those of systemd-nspawn.
machine_up() {
    local log=$1
    shift
    machine_down
    rm -rf "$work/upper" "$work/overlay"
    mkdir -p "$work/upper" "$work/overlay" "$work/root"
    mount -t overlay -o "lowerdir=$machine_base,upperdir=$work/upper,workdir=$work/overlay" packaging "$work/root"
    rm -f "$work"/root/etc/apt/sources.list "$work"/root/etc/apt/sources.list.d/*
    echo 'deb [trusted=yes] file:/repo ./' >"$work/root/etc/apt/sources.list"
    systemd-nspawn --quiet --directory="$work/root" --machine="packaging-$$" --boot \
        --register=no --keep-unit --private-network --console=pipe "$@" >"$log" 2>&1 </dev/null &
    machine_nspawn=$!
    for _ in $(seq 300); do
        machine_leader=$(pgrep -P "$machine_nspawn" | head -n 1 || true)
        if [ -n "$machine_leader" ] && inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; then
            break
        fi
        kill -0 "$machine_nspawn" 2>/dev/null || { cat "$log" >&2; die "the container did not start"; }
        sleep 0.1
    done
    inside ip link set lo up
}

machine_down() {
    if [ -n "$machine_nspawn" ]; then
        # Nothing in it is worth an orderly end.
        kill -KILL "${machine_leader:-$machine_nspawn}" 2>/dev/null || true
        wait "$machine_nspawn" 2>/dev/null || true
        machine_nspawn=''
        machine_leader=''
    fi
    if mountpoint -q "$work/root"; then umount "$work/root"; fi
}

inside() {
    nsenter --target "$machine_leader" --mount --uts --ipc --net --pid --cgroup -- \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"
}
