# private_root.sh - for scripts that work in a chroot: mounts that nobody else ever sees.
#
#   . tests/private_root.sh
#   private_root_enter shs-fresh "$0" "$@"     first of all; the script starts again, inside
#   private_root_mounts "$PRIVATE_ROOT/system" /dev and /proc for a chroot there
#
# A bind mount of /dev that a killed script leaves behind is the machine's own /dev: whoever removes that
# directory later empties it. Here nothing of the machine is mounted anywhere, and there is nothing to
# leave behind:
#
#   - The script runs in a mount namespace of its own, and as the first process of a process namespace
#     of its own. When it is killed the kernel ends everything inside, and the mounts with it.
#   - /dev in the chroot is a small tmpfs with nodes of its own (mknod). Only they can be removed there.
#   - $PRIVATE_ROOT, an empty directory, is removed from outside, where no mount is in it: by a process
#     that waits until nothing that was started inside is left. It ignores signals meant for the script.
#
# Needs root and util-linux.

# private_root_enter NAME SCRIPT [ARGUMENT]...
private_root_enter() {
    local name=$1 work ready child
    shift
    if [ -n "${PRIVATE_ROOT_INSIDE:-}" ]; then
        unset PRIVATE_ROOT_INSIDE
        mount --make-rprivate / || return 1 # unshare has done it; it must be true whoever called us
        return 0
    fi
    work=$(mktemp -d "${TMPDIR:-/var/tmp}/$name.XXXXXX") || return 1
    chmod 755 "$work"
    ready=$work.pipe
    mkfifo -m 600 "$ready" || return 1
    # The end of the pipe comes when the last process that has fd 9 is gone, however it went. A group of
    # its own: Ctrl-C is for the script.
    setsid bash -c '
        trap "" HUP INT TERM
        exec 8<"$2" && rm -f "$2"
        read -r _ <&8
        grep -qF " $1/" /proc/self/mountinfo || rm -rf --one-file-system "$1"' remove "$work" "$ready" \
        </dev/null >/dev/null 2>&1 9>&- &
    exec 9>"$ready"
    # unshare itself waits through SIGTERM and Ctrl-C, so we take them; and when we are killed it goes too.
    set -m
    PRIVATE_ROOT=$work PRIVATE_ROOT_INSIDE=yes setpriv --pdeathsig=KILL -- \
        unshare --mount --propagation private --pid --fork --kill-child=KILL -- bash "$@" &
    child=$!
    trap 'kill -KILL "$child" 2>/dev/null' HUP INT TERM
    wait "$child"
    exit $?
}

# private_root_mounts SYSTEM
private_root_mounts() {
    local system=$1 name numbers
    mkdir -p "$system/dev" "$system/proc"
    mount -t tmpfs -o mode=755,size=4m,nosuid,noexec shs-dev "$system/dev" || return 1
    while read -r name numbers; do
        # shellcheck disable=SC2086 # two words
        mknod -m 666 "$system/dev/$name" c $numbers || return 1
    done <<'NODES'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
NODES
    mkdir -m 1777 "$system/dev/shm"
    mkdir "$system/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=666,mode=620 shs-pts "$system/dev/pts" || return 1
    ln -s pts/ptmx "$system/dev/ptmx"
    ln -s /proc/self/fd "$system/dev/fd"
    ln -s /proc/self/fd/0 "$system/dev/stdin"
    ln -s /proc/self/fd/1 "$system/dev/stdout"
    ln -s /proc/self/fd/2 "$system/dev/stderr"
    mount -t proc -o nosuid,nodev,noexec shs-proc "$system/proc"
}
