# shellcheck shell=bash
# Two machines with corosync and corosync-qdevice for tests whose arbiter is a container or a whole
# system. Each is a set of namespaces with a cable to a switch, where the arbiter gets one, too; they
# join it by the commands of docs/install/by-hand.md, which are read from that page.
#
# Needs root and of Debian: corosync corosync-qdevice iproute2 libnss3-tools procps util-linux. The
# caller sets `work` to a directory of its own, and calls `nodes_down` before it ends.
# shellcheck disable=SC2154 # work

nodes_dir=$work/nodes
# Where a person sits who commands the arbiter.
nodes_desk=$nodes_dir/desk
nodes_page=docs/install/by-hand.md
# Of the network of nodes and arbiter.
arbiter_address=10.53.0.1
cluster=alpha
# What runs a command on the arbiter, as the page has it; nothing where one is on it.
arbiter=
declare -A node_pid=()
nodes_started=()

# hold NAME SCRIPT UNSHARE-OPTION...: namespaces that live until nodes_down, prepared by a script;
# sets `held` to their first process.
hold() {
    local name=$1 script=$2
    shift 2
    rm -f "$nodes_dir/$name.pid"
    # shellcheck disable=SC2016 # for the inner shell
    unshare --net --mount --fork --kill-child --propagation private "$@" sh -euc '
        read -r pid rest </proc/self/stat
        ip link set lo up
        eval "$0"
        echo "$pid" >"$1.new"
        mv "$1.new" "$1"
        exec sleep infinity' "$script" "$nodes_dir/$name.pid" </dev/null &
    nodes_started+=($!)
    for _ in $(seq 100); do
        if [ -e "$nodes_dir/$name.pid" ]; then break; fi
        sleep 0.05
    done
    held=$(cat "$nodes_dir/$name.pid")
}

on_switch() { nsenter --target "$switch" --net "$@"; }

# on NODE COMMAND...: runs it there.
on() {
    local node=$1
    shift
    nsenter --target "${node_pid[$node]}" --net --mount --pid --wd=/root -- "$@"
}

# attach NAME PID ADDRESS: a cable from the switch to a network namespace.
attach() {
    on_switch ip link add "$1" type veth peer name cluster netns "$2"
    on_switch ip link set "$1" master switch up
    nsenter --target "$2" --net ip address add "$3/24" dev cluster
    nsenter --target "$2" --net ip link set cluster up
}

# The nodes with corosync as it is before there is an arbiter, in operation.
nodes_up() {
    local node
    rm -rf "$nodes_dir"
    mkdir -p "$nodes_dir"
    hold switch 'ip link add switch type bridge && ip link set switch up'
    switch=$held
    for node in 1 2; do
        # shellcheck disable=SC2016 # for the inner shell
        hold "node$node" 'mount -t proc proc /proc
            for dir in /etc/corosync /var/lib/corosync /run /dev/shm /root; do mount -t tmpfs tmpfs "$dir"; done' --pid
        node_pid[$node]=$held
        attach "node$node" "$held" "10.53.0.1$node"
        # Real-time priority is off: two nodes on few processors would starve the arbiter.
        on "$node" tee /etc/corosync/corosync.conf >/dev/null <<CONF
totem {
    version: 2
    cluster_name: $cluster
    transport: knet
    crypto_cipher: none
    crypto_hash: none
}
logging {
    to_stderr: yes
    to_syslog: no
}
system {
    sched_rr: no
    priority: 0
    move_to_root_cgroup: no
}
nodelist {
    node {
        nodeid: 1
        name: pve1
        ring0_addr: 10.53.0.11
    }
    node {
        nodeid: 2
        name: pve2
        ring0_addr: 10.53.0.12
    }
}
quorum {
    provider: corosync_votequorum
    two_node: 1
}
CONF
        on "$node" mkdir -p /etc/corosync/qdevice/net
        on "$node" corosync -f >"$nodes_dir/corosync$node.log" 2>&1 </dev/null &
        nodes_started+=($!)
    done
    soon members_are 1 '1 2' && soon members_are 2 '1 2'
}

nodes_down() {
    local pid
    for pid in "${nodes_started[@]}"; do
        # With the first process of its namespaces go all others.
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    nodes_started=()
}

# soon COMMAND...: the command must succeed within 45 seconds.
soon() {
    local end=$((SECONDS + 45))
    while [ "$SECONDS" -lt "$end" ]; do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    echo "not within 45 s: $*" >&2
    return 1
}

# It ends with 2 where there is no quorum.
quorum_of() { on "$1" corosync-quorumtool -s -i || [ $? -eq 2 ]; }

members_are() {
    [ "$(quorum_of "$1" | awk '/^Membership information/ { list = 1 }
        list && $1 + 0 { printf "%s%s", sep, $1; sep = " " }')" = "$2" ]
}

# votes NODE QUORATE TOTAL: whether the node says so.
votes() {
    quorum_of "$1" | awk -v quorate="$2" -v total="$3" '
        /^Quorate:/ { q = $2 } /^Total votes:/ { t = $3 } END { exit !(q == quorate && t == total) }'
}

# step PAGE NUMBER: the commands of that step of a page, with this test's names.
step() {
    awk -v begin="**$2." 'index($0, begin) == 1 { here = 1 } here && /^```/ { if (block) exit; block = 1; next }
        block' "$1" | sed "s|CLUSTER|$cluster|g; s|ARBITER|$arbiter|; s|ADDRESS|$arbiter_address|" |
        grep . || { echo "$1 has no commands in step $2" >&2; return 1; }
}

# by_hand STEP PLACE...: does a step of the page for joining by hand on these machines.
by_hand() {
    local number=$1 place
    shift
    for place in "$@"; do
        case $place in
        desk) step "$nodes_page" "$number" | (cd "$nodes_desk" && sh -eu) || return 1 ;;
        *) step "$nodes_page" "$number" | on "$place" sh -eu || return 1 ;;
        esac
    done
}
configured() { on "$1" corosync-cmapctl -g quorum.device.model; }
configure() {
    local node
    step "$nodes_page" 8 >"$nodes_dir/device" || return 1
    for node in 1 2; do
        on "$node" sed -i -e '/two_node/d' -e '/provider: corosync_votequorum/r /dev/stdin' \
            /etc/corosync/corosync.conf <"$nodes_dir/device" || return 1
    done
    on 1 corosync-cfgtool -R && soon configured 1 && soon configured 2
}

# Joins the arbiter by the page, with cp for what a person does with scp; `arbiter` is set.
join_by_hand() {
    local ndb=/etc/corosync/qdevice/net/nssdb node
    local root1=/proc/${node_pid[1]}/root root2=/proc/${node_pid[2]}/root
    mkdir -p "$nodes_desk"
    {
        by_hand 2 desk &&
            cp "$nodes_desk/qnetd-cacert.crt" "$root1/root/" && cp "$nodes_desk/qnetd-cacert.crt" "$root2/root/" &&
            by_hand 3 1 2 &&
            by_hand 4 1 && cp "$root1$ndb/qdevice-net-node.crq" "$nodes_desk/" &&
            by_hand 5 desk && cp "$nodes_desk/cluster-$cluster.crt" "$root1/root/" &&
            by_hand 6 1 && cp "$root1$ndb/qdevice-net-node.p12" "$root2/root/" &&
            by_hand 7 2 &&
            configure
    } >"$nodes_dir/join.log" 2>&1 || return 1
    # Step 9 without a service manager.
    for node in 1 2; do
        on "$node" corosync-qdevice -f >"$nodes_dir/qdevice$node.log" 2>&1 </dev/null &
        nodes_started+=($!)
    done
}

both_have_the_vote() {
    members_are 1 "1 2" && members_are 2 "1 2" && votes 1 Yes 3 && votes 2 Yes 3
}

# Begins to note ten times a second what both nodes say of their quorum, until nodes_down.
watch_quorum() {
    local node
    for node in 1 2; do
        # corosync-quorumtool asks several questions; across a change their answers are of two
        # moments. So only what is said twice in a row is noted, else "?".
        # shellcheck disable=SC2016 # for the inner shell
        on "$node" env LC_ALL=C bash -c '
            ask() {
                local text
                text=$(corosync-quorumtool -s -i 2>/dev/null)
                [[ $text =~ Quorate:\ +(Yes|No).*Total\ votes:\ +([0-9]+) ]]
                answer="${BASH_REMATCH[1]:-?} ${BASH_REMATCH[2]:-?}"
            }
            while :; do
                ask
                said="? ?"
                for _ in 1 2 3 4 5; do
                    before=$answer
                    ask
                    if [ "$answer" = "$before" ]; then
                        said=$answer
                        break
                    fi
                done
                echo "$EPOCHREALTIME $said"
                sleep 0.08
            done' >"$nodes_dir/quorum$node" 2>&1 </dev/null &
        nodes_started+=($!)
    done
}

# quorum_since TIME: fails unless both nodes were quorate in all samples since then (seconds of the
# epoch), and prints for how long a node did not count the arbiter's vote, in seconds, and the longest
# time between two samples: "node 1 2.2 (samples at most 0.2 apart), ...".
quorum_since() {
    local node
    for node in 1 2; do
        awk -v since="$1" -v node="$node" '
            $1 < since || $2 == "?" { next }
            { samples++ }
            last && $1 - last > longest { longest = $1 - last }
            { last = $1 }
            $2 == "No" { print "node " node " was not quorate: " $0 >"/dev/stderr"; bad = 1 }
            $3 == 3 { if (gone) { total += $1 - gone; gone = 0 } }
            $3 != 3 && !gone { gone = $1 }
            END {
                if (samples < 10 || longest > 1.5) {
                    print "node " node ": " samples " samples, up to " longest " s apart" >"/dev/stderr"
                    bad = 1
                }
                if (gone) { print "node " node " has no vote of the arbiter at the end" >"/dev/stderr"; bad = 1 }
                printf "%snode %d %.1f (samples at most %.1f apart)", (node > 1 ? ", " : ""), node, total, longest
                exit bad
            }' "$nodes_dir/quorum$node" || return 1
    done
    echo
}
