#!/usr/bin/env bash
# The scripts that are run by hand: one that does not know an option says so and does nothing. It takes
# none for the name of a directory, and does not run for minutes, or download a system, as if it were not
# there.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
faults=0

fault() {
    echo "FAULT: $*"
    faults=$((faults + 1))
}

mapfile -t scripts < <(cd "$root" && find bench certs packaging tests -name '*.sh' -not -name lib.sh -not -name peers.sh \
    -not -name private_root.sh -not -path 'packaging/hooks/*' -not -path 'tests/integration/*' -not -path 'tests/style/*' | sort)
[ "${#scripts[@]}" -ge 10 ] || fault "only ${#scripts[@]} scripts are found: ${scripts[*]}"

for script in "${scripts[@]}"; do
    for option in --no-such-option --help; do
        code=0
        rm -rf "$tmp/here" "$tmp/scratch"
        mkdir "$tmp/here" "$tmp/scratch"
        (cd "$tmp/here" && TMPDIR=$tmp/scratch timeout -k 5 60 bash "$root/$script" "$option") >"$tmp/said" 2>&1 </dev/null || code=$?
        [ "$code" -ne 124 ] || fault "$script $option runs on"
        [ -s "$tmp/said" ] || fault "$script $option says nothing"
        [ -z "$(find "$tmp/here" "$tmp/scratch" -mindepth 1)" ] || fault "$script $option leaves something"
        case $option:$code in
        --help:[012] | *:[12]) ;;
        *) fault "$script $option ends with $code: $(head -n 3 "$tmp/said")" ;;
        esac
        # With a blank after it: what a shell complains of begins with the path of the script, and a colon.
        grep -qE "(^|[/ ])$(basename "$script")( |\$)|no option $option|unknown option $option|$option: unknown" "$tmp/said" ||
            fault "$script $option does not say how it is called: $(head -n 3 "$tmp/said")"
    done
done
[ "$faults" -eq 0 ]
