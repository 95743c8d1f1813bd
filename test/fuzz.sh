#!/bin/sh
# fuzz.sh [TIME [ROW [PACKAGE...]]]: runs each fuzzer of the packages (all) for that time (60s), one after another.
# ROW is the promise that it proves.
set -eu
time=${1:-60s}
row=${2:-2.9b}
[ $# -lt 2 ] || shift 2
[ $# -gt 0 ] || set -- ./...
go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.Dir}}{{end}}' "$@" | {
	n=0
	while read -r pkg dir; do
		for f in $(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | sed 's/^func //' | sort -u); do
			echo "fuzz $pkg $f"
			go test -run '^$' -fuzz "^$f\$" -fuzztime "$time" -fuzzminimizetime 10x "$pkg"
			n=$((n + 1))
		done
	done
	echo "PROOF $row: $n fuzzers, $time each, no finding"
}
