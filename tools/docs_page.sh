#!/bin/sh
# docs_page.sh LOCK_DIR WORK_DIR OUT - the component that draws /docs, from npm as the lock file says.
#
# Run by the build. Where Node or the packages are not to be had OUT is empty, and the server shows a plain page
# instead. Nothing else depends on it.
set -u
lock=$1 work=$2 out=$3

plain() {
    echo "docs: $1; /docs will be a plain page" >&2
    : >"$out"
    exit 0
}

command -v npm >/dev/null 2>&1 || plain "npm is not installed"
mkdir -p "$work" && cp "$lock/package.json" "$lock/package-lock.json" "$lock/.npmrc" "$work/" || exit 1
(cd "$work" && timeout 120 npm ci --ignore-scripts --silent --fetch-retries=1 --fetch-timeout=20000) >/dev/null 2>&1 ||
    plain "npm ci does not work here"
cp "$work/node_modules/rapidoc/dist/rapidoc-min.js" "$out"
