#!/usr/bin/env bash
# Installs the Debian packages named on standard input, starting no service; fails if some are missing still.
#
# A line is a package and, after it, what shows that nothing need be installed: programs on the
# PATH, or absolute paths of files. Without those, dpkg is asked. `#` starts a comment.
# Nothing is asked of the user: without root or passwordless sudo it only says what is missing.
set -euo pipefail

POLICY=/usr/sbin/policy-rc.d
POLICY_BEFORE=$POLICY.before-perfsdk

is_there() {
    local package=$1 proof
    shift
    if [ $# -eq 0 ]; then
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ]
        return
    fi
    for proof in "$@"; do
        case $proof in
            /*) [ -e "$proof" ] ;;
            *) command -v "$proof" >/dev/null ;;
        esac || return 1
    done
}

missing_packages() {
    local line words
    while read -r line; do
        read -ra words <<<"${line%%#*}"
        [ ${#words[@]} -eq 0 ] || is_there "${words[@]}" || printf '%s\n' "${words[0]}"
    done <<<"$wanted"
}

# Debian starts a service as it is installed, unless a file of this name says no. An
# administrator's own file is put back; a leftover of a killed run is put back by the next.
forbid_services() {
    exec 9<"$(dirname "$POLICY")"
    flock 9 # two runs at once would put back each other's file
    [ ! -e "$POLICY_BEFORE" ] || mv "$POLICY_BEFORE" "$POLICY"
    trap allow_services EXIT
    trap 'exit 130' INT TERM HUP
    if [ -e "$POLICY" ]; then mv "$POLICY" "$POLICY_BEFORE"; fi
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
}

allow_services() {
    if [ -e "$POLICY_BEFORE" ]; then mv "$POLICY_BEFORE" "$POLICY"; else rm -f "$POLICY"; fi
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -qq -y \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >/dev/null 9<&-
}

install_packages() {
    local package
    forbid_services
    apt_get update || printf 'perfsdk: apt-get update failed; going on with the lists there are\n' >&2
    apt_get install --no-install-recommends "$@" && return
    [ $# -gt 1 ] || return 1
    # One by one: a name that this release does not have must not cost the others.
    for package in "$@"; do
        apt_get install --no-install-recommends "$package" || true
    done
}

if [ "${1:-}" = --as-root ]; then
    shift
    install_packages "$@"
    exit
fi

wanted=$(cat)
mapfile -t missing < <(missing_packages)
[ ${#missing[@]} -gt 0 ] || exit 0

if command -v apt-get >/dev/null; then
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    if "${as_root[@]}" true 2>/dev/null; then
        printf '==> installing Debian packages: %s\n' "${missing[*]}"
        "${as_root[@]}" bash "${BASH_SOURCE[0]}" --as-root "${missing[@]}" || true
        mapfile -t missing < <(missing_packages)
        [ ${#missing[@]} -gt 0 ] || exit 0
    fi
fi

printf 'perfsdk: MISSING: %s; what needs them is left out. As root: apt-get install %s\n' \
    "${missing[*]}" "${missing[*]}" >&2
exit 1
