#!/bin/sh
# Starts the arbiter in Home Assistant: makes settings of the add-on's options, signs the requests
# that were put into the add-on's folder, and serves without root's rights.
set -eu

options=/data/options.json
folder=/config
owner=65532:65532
export QARBITER_STATE_DIR=/data/qarbiter
# The add-on's own address: Home Assistant's pages and watchdog come from there. It is not published.
export QARBITER_HTTP_ADDRESS=0.0.0.0:8403

say() { echo "qarbiter add-on: $*"; }
option() { jq -r --arg name "$1" '.[$name] | if . == null then "" else tostring end' "$options"; }
as_arbiter() { s6-setuidgid "$owner" "$@"; }

# Empty is as good as not set.
QARBITER_LOG_LEVEL=$(option log_level)
QARBITER_VOTES_LOST_HOLDER=$(option lost_holder)
export QARBITER_LOG_LEVEL QARBITER_VOTES_LOST_HOLDER
if [ "$(option allow_clear_text)" = true ]; then
    export QARBITER_TLS_MODE=on
fi
if [ -e "$folder/qarbiter.toml" ]; then
    export QARBITER_CONFIG=$folder/qarbiter.toml
    chmod a+r "$folder/qarbiter.toml"
fi

mkdir -p "$QARBITER_STATE_DIR" "$folder/requests" "$folder/certificates"
chown -R "$owner" "$QARBITER_STATE_DIR"
chmod 0750 "$QARBITER_STATE_DIR"
if [ ! -e "$QARBITER_STATE_DIR/key4.db" ]; then
    as_arbiter corosync-qnetd-certutil -i
fi
cp "$QARBITER_STATE_DIR/qnetd-cacert.crt" "$folder/certificates/qnetd-cacert.crt"

for request in "$folder"/requests/*.crq; do
    [ -e "$request" ] || continue
    cluster=$(basename "$request" .crq)
    # The arbiter can't read what Home Assistant's other programs put there.
    copy=$QARBITER_STATE_DIR/request.crq
    cp "$request" "$copy"
    chown "$owner" "$copy"
    if as_arbiter corosync-qnetd-certutil -s -c "$copy" -n "$cluster"; then
        cp "$QARBITER_STATE_DIR/cluster-$cluster.crt" "$folder/certificates/"
        mv "$request" "$request.signed"
        say "signed requests/$cluster.crq: certificates/cluster-$cluster.crt"
    else
        say "could not sign requests/$cluster.crq, see above; is it the request of a cluster called $cluster?"
    fi
    rm -f "$copy"
done

say "to join a cluster put its request into requests/, see this add-on's documentation"
# So that it does not tell people to join over ssh to an address inside of this machine.
export container=oci
exec s6-setuidgid "$owner" qarbiter serve
