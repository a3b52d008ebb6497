#!/usr/bin/env bash
# run.sh - everything that can fail does, in every scenario; a client dies at every byte. N of N.
#
#   bash tests/faults/run.sh             all of it: half an hour; prints the tables of README.md
#   bash tests/faults/run.sh --slice     a dozen faults of each scenario, for ctest
#   bash tests/faults/run.sh --most N    at most so many of each scenario, evenly spread
#
# $SHS_BUILD_DIR is the build (build/debug by default), with fault_sweep and fault_deaths in it. Exit
# code 0: nothing went wrong. What did is on stderr, with the words to see it again:
#   fault_sweep --only SCENARIO --at KIND ERROR CALL ROW
set -euo pipefail

src=${SHS_SOURCE_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
build=${SHS_BUILD_DIR:-$src/build/debug}
sweep=() deaths=()
case ${1:-} in
--slice) sweep=(--most 12) deaths=(--every 97) ;;
--most) sweep=(--most "$2") ;;
'') ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
[ -x "$build/fault_sweep" ] && [ -x "$build/fault_deaths" ] || {
    echo "build fault_sweep and fault_deaths first, in $build" >&2
    exit 2
}

# Each call of the kernel that the library makes is in calls.inc, or here with the reason.
#   clock_gettime clock_nanosleep nanosleep time getpid gettid geteuid pthread_* : they cannot fail
#   munmap pthread_join ...                             : only for a wrong argument
#   kill pidfd_open rename unlink getrusage recvfrom    : looked at by hand, see README.md
calls='accept4?|bind|chmod|close|connect|dup[23]?|epoll_[a-z0-9_]+|eventfd|f?chmod|f?chown|fcntl|flock|fork|vfork|f?statat|[fl]?stat|fsync|fdatasync|ftruncate|fallocate|futimens|utimensat|getdents|getrandom|getsockname|getpeername|getsockopt|inotify_add_watch|inotify_init1|ioctl|linkat?|listen|lseek|memfd_create|mkdirat?|mkdtemp|mkostemps?|mmap|openat2?|open|opendir|fdopendir|pipe2?|poll|ppoll|preadv?|pwritev?|read|readv|readdir|readlink(at)?|realpath|recv|recvmsg|renameat2?|sched_getaffinity|send|sendmsg|sendto|sendfile|setsockopt|shutdown|signalfd|socket|socketpair|splice|symlinkat?|timerfd_[a-z]+|unlinkat|waitid|waitpid|write|writev|faccessat|getaddrinfo|getnameinfo|pthread_create'
unknown=0
for call in $(nm -u "$build/libshs.a" 2>/dev/null | awk '{ print $2 }' | sed 's/^__\(.*\)_chk$/\1/; s/64$//' |
    sort -u | grep -xE "$calls"); do
    if ! grep -q "^CALL($call," "$src/tests/faults/calls.inc"; then
        echo "the library calls $call, which tests/faults/calls.inc does not have" >&2
        unknown=1
    fi
done

failed=0
"$build/fault_sweep" "${sweep[@]}" || failed=1
echo
"$build/fault_deaths" "${deaths[@]}" || failed=1
[ "$unknown" -eq 0 ] && [ "$failed" -eq 0 ]
