# packages.sh - the Debian and Ubuntu packages that building and testing need; sourced by run and test.
#
# Debian 12 and newer, Ubuntu 22.04 and newer: the names are the same on all of them.

build_packages="gcc libc6-dev meson ninja-build pkg-config libevent-dev libcurl4-openssl-dev libssl-dev libjansson-dev
  libpcre2-dev libutf8proc-dev libseccomp-dev libyaml-dev"
test_packages="clang libcmocka-dev python3 python3-jsonschema curl git"
# Wanted by single tests, which say so when they skip: kernels for 64-bit Arm, instruction counts.
more_test_packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static valgrind"

# Does this package, or for virtual ones something that provides it, lie on the machine?
have_package() {
    case $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) in
    installed) return 0 ;;
    esac
    return 1
}

# Install what is missing of the packages named; says what it does, does nothing when all are there.
need_packages() {
    missing=""
    for p in "$@"; do have_package "$p" || missing="$missing $p"; done
    [ -z "$missing" ] && return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "These Debian packages, or what your system calls them, are needed:$missing" >&2
        return 1
    fi
    sudo=""
    if [ "$(id -u)" -ne 0 ]; then
        sudo=sudo
        command -v sudo >/dev/null 2>&1 || {
            echo "As root, please:  apt-get install$missing" >&2
            return 1
        }
    fi
    echo "Installing:$missing" >&2
    $sudo apt-get update -q >&2 &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >&2
}
