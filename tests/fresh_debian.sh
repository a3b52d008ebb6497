#!/usr/bin/env bash
# fresh_debian.sh - does it work for somebody who has a fresh Debian, git, and nothing else?
#
#   tests/fresh_debian.sh [--suite SUITE] [--full | --install] [CACHE_DIR]
#
# Makes a Debian 12, or the SUITE named (trixie is Debian 13, with OpenSSL 3.5), with debootstrap from the mirror that this machine's apt is configured with, in a
# temporary directory; clones the last commit into it; runs `bash examples/quickstart.sh --port 0`,
# fetches every file of examples/site and compares them byte for byte; and runs `bash tests/run.sh
# --quick` (--full: without --quick). --install: instead of these, README's build line and the Debian
# packages, with packaging/check_packages.sh, which needs a second such system. CACHE_DIR keeps the bare system as a tarball for the
# next time. Needs root, debootstrap, curl and git. Not part of ctest: it downloads a system.
set -euo pipefail

# shellcheck source=private_root.sh
. "$(dirname "${BASH_SOURCE[0]}")/private_root.sh"
given=("$@")
suite=bookworm
quick=--quick
install_only=
while [ $# -gt 0 ]; do
    case $1 in
    --full) quick= ;;
    --install) install_only=yes ;;
    --suite)
        [ $# -ge 2 ] || { echo "--suite needs a name: bookworm, trixie" >&2; exit 2; }
        suite=$2
        shift
        ;;
    -h | --help)
        sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    -*)
        echo "unknown option $1; try --help" >&2
        exit 2
        ;;
    *) break ;;
    esac
    shift
done
[ $# -le 1 ] || { echo "only one CACHE_DIR, after the options; try --help" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "fresh_debian: only root can make a chroot" >&2; exit 1; }
# From here on in namespaces of its own: what is mounted below is mounted for nobody else, and a killed
# run leaves nothing.
private_root_enter shs-fresh "${BASH_SOURCE[0]}" "${given[@]}"

own_suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${1:-}

fail() {
    echo "fresh_debian: $*" >&2
    exit 1
}

for tool in debootstrap git chroot curl; do
    command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install debootstrap git curl"
done

work=$PRIVATE_ROOT
system=$work/system

# The first mirror of the suite in apt's own configuration, in either of its formats. A mirror has all
# suites: for one that this machine does not use, its own suite's mirror.
mirror() {
    local found
    found=$(mirror_of "$suite")
    echo "${found:-$(mirror_of "$own_suite")}"
}

mirror_of() {
    local suite=$1
    {
        sed -nE 's/^deb +(\[[^]]*\] +)?([^ ]+) +'"$suite"' .*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list
        awk -v suite="$suite" '
            function block_end() { if (uri != "" && suites ~ ("(^| )" suite "( |$)")) print uri; uri = suites = "" }
            /^[[:space:]]*$/ { block_end() }
            /^URIs:/ { uri = $2 }
            /^Suites:/ { suites = $0; sub(/^Suites:[[:space:]]*/, "", suites) }
            END { block_end() }' /etc/apt/sources.list.d/*.sources
    } 2>/dev/null | head -n 1
}

bootstrap() {
    local tarball=${cache:+$cache/$suite.tar.gz} from
    mkdir -p "$system"
    if [ -n "$tarball" ] && [ -f "$tarball" ]; then
        tar -C "$system" -xzf "$tarball"
        return
    fi
    from=$(mirror)
    [ -n "$from" ] || fail "apt's configuration names no mirror for $suite"
    debootstrap --variant=minbase --include=git,ca-certificates "$suite" "$system" "$from" >"$work/debootstrap.log" 2>&1 ||
        { tail -n 20 "$work/debootstrap.log" >&2; fail "debootstrap failed"; }
    if [ -n "$tarball" ]; then
        mkdir -p "$cache"
        tar -C "$system" -czf "$tarball.$$" --exclude=./proc/* --exclude=./sys/* . && mv "$tarball.$$" "$tarball"
    fi
}

# The system is to reach what this machine reaches: its mirrors, its keys, its resolver, its proxy.
configure() {
    rm -f "$system/etc/apt/sources.list"
    cp -a /etc/apt/sources.list "$system/etc/apt/" 2>/dev/null || true
    local file name
    if [ -z "$(mirror_of "$suite")" ]; then
        echo "deb $(mirror) $suite main" >"$system/etc/apt/sources.list"
    fi
    for file in /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        # Only Debian's own: what else this machine installs from, a fresh one does not have.
        [ -f "$file" ] && grep -qE "(^|[[:space:]])$suite" "$file" && cp "$file" "$system/etc/apt/sources.list.d/"
    done
    cp /usr/share/keyrings/debian-archive* "$system/usr/share/keyrings/" 2>/dev/null || true
    for file in /etc/apt/auth.conf /etc/apt/auth.conf.d/* /etc/apt/apt.conf.d/*proxy*; do
        name=${file#/}
        [ -f "$file" ] && install -D -m 600 "$file" "$system/$name"
    done
    for file in /etc/resolv.conf /etc/hosts; do
        [ -f "$file" ] && cp -L "$file" "$system$file"
    done
    private_root_mounts "$system" || fail "cannot mount /dev and /proc for $system"
}

inside() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
        chroot "$system" "$@"
}

# Starts quickstart, reads its first line, fetches every file, and ends it.
try_quickstart() {
    local first ca base pid starter file got=$work/got
    inside bash -c 'cd /root/shs && echo $$ >/root/server.pid && exec bash examples/quickstart.sh --port 0' \
        >"$work/out" 2>"$work/err" &
    starter=$!
    for _ in $(seq 600); do
        first=$(head -n 1 "$work/out")
        [ -z "$first" ] || break
        kill -0 "$starter" 2>/dev/null || break
        sleep 0.5
    done
    pid=$(cat "$system/root/server.pid")
    echo "$first"
    [[ $first =~ ^Serving\ HTTPS\ on\ ([^ ]+)\ port\ ([0-9]+)\ \(([^\ ]+)\)\ \.\.\.$ ]] ||
        { cat "$work/err" "$work/out" >&2; fail "quickstart's first line is not the server's"; }
    base=${BASH_REMATCH[3]%/}
    for _ in $(seq 20); do
        ca=$(sed -nE "s/.*--cacert '?([^ ']+).*/\1/p" "$work/out")
        [ -z "$ca" ] || break
        sleep 0.5
    done
    [ -n "$ca" ] || { kill "$pid"; cat "$work/err" "$work/out" >&2; fail "the server names no CA to verify with"; }
    while IFS= read -r file; do
        curl -sS --fail --max-time 60 --noproxy "*" --cacert "$system$ca" "$base/${file// /%20}" >"$got" ||
            { kill "$pid"; fail "curl could not fetch $file"; }
        cmp "$got" "$system/root/shs/examples/site/$file" || { kill "$pid"; fail "$file came back different"; }
        echo "same bytes: $file"
    done < <(cd "$system/root/shs/examples/site" && find . -type f | sed 's,^\./,,' | sort)
    kill -TERM "$pid"
    wait "$starter" || fail "the server did not end with exit code 0 on SIGTERM"
}

# Builds in the first system, and tries in the second one what came of it.
try_install() {
    local first=$system
    inside bash /root/shs/packaging/check_packages.sh build /root/debs || fail "building and installing (above)"
    system=$work/second
    configure
    git clone -q --no-hardlinks "$source_dir" "$system/root/shs"
    cp -a "$first/root/debs" "$system/root/debs"
    # apt fetches local packages as its own user, who cannot look into /root.
    mv "$system/root/debs" "$system/srv/debs"
    inside bash /root/shs/packaging/check_packages.sh try /srv/debs || fail "the packages (above)"
}

bootstrap
[ -z "$install_only" ] || cp -a "$system" "$work/second"
configure
git clone -q --no-hardlinks "$source_dir" "$system/root/shs"
if [ -n "$install_only" ]; then
    try_install
    echo "fresh_debian: all of it works on $suite"
    exit 0
fi
result=0
# Once as nobody special, who may install nothing: one apt line, no question, exit code 1.
inside chown -R nobody /root/shs && chmod 755 "$system/root"
if said=$(inside setpriv --reuid=65534 --regid=65534 --clear-groups bash /root/shs/tests/run.sh --quick 2>&1); then
    fail "run.sh succeeded without its packages: $said"
fi
grep -q '^    sudo apt-get update && sudo apt-get install -y ' <<<"$said" || fail "run.sh does not say the apt line: $said"
inside chown -R root /root/shs
# As root: quickstart, which installs what building needs; then the tests, which install the rest;
# and the tests once more, when everything is there.
time try_quickstart
inside bash -c "cd /root/shs && time bash tests/run.sh $quick" || result=1
inside bash -c "cd /root/shs && bash tests/run.sh --quick" | tail -n 1 || result=1
[ "$result" -eq 0 ] || fail "quickstart works, and tests failed (above)"
echo "fresh_debian: all of it works"
