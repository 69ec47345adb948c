# shellcheck shell=bash
# Builds the container image as `qarbiter` into the storage that `images` works on.
#
# By buildah, without a daemon. In the place of debian:trixie-slim, which a machine without that
# network can't pull, is a root directory by debootstrap under its name. Needs root, cargo, and of
# Debian: buildah debootstrap. The caller defines `say` and `die`.

image_work=$PWD/target/container
image_version=$(cargo pkgid --locked | sed 's/.*[@#]//')
image_revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

images() {
    buildah --root "$image_work/storage" --runroot "$image_work/storage-run" --storage-driver overlay "$@"
}

# Made again when its root directory was: with other packages in it the programs would differ from
# those of deploy/static/build.
stand_in_for_debian() {
    local base made container
    base=$(deploy/static/base)
    made=$(stat -c '%n %Y' "$base/var/lib/dpkg/status" | sha256sum | cut -c 1-12)
    if [ "$(images inspect --type image --format '{{ .Docker.Config.Labels.base }}' debian:trixie-slim 2>/dev/null)" = "$made" ]; then
        return 0
    fi
    say "a stand-in for debian:trixie-slim"
    images rmi --force debian:trixie-slim >/dev/null 2>&1 || true
    container=$(images from scratch)
    # As an archive, which keeps owners and modes.
    tar -C "$base" -cf "$image_work/base.tar" .
    images add --quiet "$container" "$image_work/base.tar" / >/dev/null
    rm "$image_work/base.tar"
    # What this machine's packages come through may need a certificate of its own.
    if compgen -G '/usr/local/share/ca-certificates/*' >/dev/null; then
        images add --quiet "$container" /usr/local/share/ca-certificates /usr/local/share/ca-certificates >/dev/null
    fi
    images config --label "base=$made" --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd bash "$container"
    images commit --quiet --rm "$container" docker.io/library/debian:trixie-slim >/dev/null
}

# build_image [--from-nothing | --platform PLATFORM ARCH]: from nothing as it is on a machine that has
# only the sources; for this machine's platform unless another is named, such as linux/arm/v7 armhf.
build_image() {
    local options=() crates compiled left
    compiled=target/static/build-$(dpkg --print-architecture)
    if [ "${1:-}" = --platform ]; then
        options+=(--platform "$2")
        compiled=target/static/build-$3
    fi
    mkdir -p "$image_work"
    stand_in_for_debian
    say "build"
    if [ "${1:-}" = --from-nothing ]; then
        options+=(--no-cache)
    else
        # The places are those of deploy/static/build, so that what it has compiled is used.
        crates=${XDG_CACHE_HOME:-$HOME/.cache}/qarbiter/crates-$(sha256sum Cargo.lock | cut -c 1-12)
        if [ -d "$crates" ]; then
            mkdir -p "$compiled"
            options+=(--layers --build-arg VENDOR=/build/crates
                --volume "$crates:/build/crates:ro" --volume "$PWD/$compiled:/build/target")
        fi
    fi
    # Its last layers, too: buildah would take them again with the labels of another revision.
    images rmi --force qarbiter >/dev/null 2>&1 || true
    options+=(--build-arg VERSION="$image_version" --build-arg REVISION="$image_revision"
        --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct 2>/dev/null || echo 0)")
    for left in 2 1 0; do
        if images build --isolation chroot --pull-never --format docker --quiet "${options[@]}" \
            --tag qarbiter . >"$image_work/build.log" 2>&1; then
            return 0
        fi
        # buildah seals a copy of itself, which the kernel refuses while it holds one of its pages.
        if [ "$left" -eq 0 ] || ! grep -q 'sealing memfd copy: Device or resource busy' "$image_work/build.log"; then
            break
        fi
        say "build again: buildah could not seal its copy of itself"
        sleep 1
    done
    tail -n 40 "$image_work/build.log" >&2
    die "the image can't be built, see $image_work/build.log"
}

# archive_image FILE: for `docker load`, under the name that compose.yaml has.
archive_image() {
    rm -f "$1"
    images push --quiet qarbiter "docker-archive:$1:qarbiter/qarbiter:$image_version"
}
