#!/usr/bin/env bash
# The chroots of tests/: what is mounted in one is mounted for nobody else, and a killed run leaves no
# mount, no process and no file.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

fail() {
    echo "test_private_root: $*" >&2
    exit 1
}

# Nothing in the tree mounts the machine's /dev anywhere; chroots have private_root_mounts.
! grep -rnE 'mount.*(--r?bind|-o [a-z,]*r?bind)[^|]* /(dev|proc|sys)\b' "$root"/{tests,packaging,examples,bench,certs,cmake} \
    --include='*.sh' --include='*.py' | grep -v '/test_private_root.sh:' ||
    fail "a bind mount of the machine's own (above)"
! grep -rlE '(^|[ (])chroot ' "$root"/{tests,packaging,examples,bench,certs,cmake} --include='*.sh' | grep -v '/test_private_root.sh$' |
    xargs -r grep -L 'private_root_enter' | grep . || fail "a script with a chroot, and no private_root_enter (above)"

if [ "$(id -u)" -ne 0 ] || ! unshare --mount --pid --fork true 2>/dev/null; then
    echo "skipped: needs root and the right to mount" >&2
    exit 77
fi
work=$(mktemp -d)
# A run that hangs is ended with the rest; what is below has no mounts of ours, by the point of this test.
trap 'rm -rf --one-file-system "$work"' EXIT
cat >"$work/run.sh" <<SCRIPT
set -euo pipefail
. "$root/tests/private_root.sh"
private_root_enter shs-test "\$0" "\$@"
private_root_mounts "\$PRIVATE_ROOT/system"
echo kept >"\$PRIVATE_ROOT/system/file"
[ -c "\$PRIVATE_ROOT/system/dev/null" ] && [ -c "\$PRIVATE_ROOT/system/dev/pts/ptmx" ] && [ -d "\$PRIVATE_ROOT/system/proc/1" ]
rm -f "\$PRIVATE_ROOT/system/dev/null" # of its own
echo "\$PRIVATE_ROOT"
[ "\$1" = end ] || { sleep 987 & sleep 987; }
exit 3
SCRIPT

# until SECONDS WHAT COMMAND...: waits until the command succeeds.
until_true() {
    local left=$(($1 * 20)) what=$2
    shift 2
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || fail "after a while still: $what"
        sleep 0.05
    done
}
gone() { ! [ -e "$1" ]; }
said() { [ -s "$1" ]; }
nobody_below() { ! readlink /proc/[0-9]*/cwd /proc/[0-9]*/fd/9 2>/dev/null | grep -qF "$1"; }

# It ends by itself: its exit status, and nothing left.
code=0
TMPDIR=$work bash "$work/run.sh" end >"$work/out" || code=$?
[ "$code" -eq 3 ] || fail "the exit status is not the script's but $code"
until_true 30 "$(cat "$work/out") is there" gone "$(cat "$work/out")"

# Each of these in the middle: nothing of it was ever to be seen here, and nothing is left.
for signal in TERM KILL; do
    : >"$work/out"
    TMPDIR=$work bash "$work/run.sh" stay >"$work/out" &
    pid=$!
    until_true 30 "the script says nothing" said "$work/out"
    dir=$(cat "$work/out")
    [ -f "$dir/system/file" ] || fail "no $dir/system/file"
    ! grep -F "$dir" /proc/self/mountinfo || fail "its mounts are ours as well"
    kill "-$signal" "$pid"
    wait "$pid" || true
    until_true 30 "$dir is there after SIG$signal" gone "$dir"
    until_true 30 "a process of it is there after SIG$signal" nobody_below "$dir"
    [ -c /dev/null ] || fail "the machine's /dev/null is gone"
done
[ -z "$(find "$work" -name '*.pipe')" ] || fail "a pipe is left"
