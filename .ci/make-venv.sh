#!/usr/bin/env bash
# Makes the virtual environment $2 with the Python $1; what is missing is said in one line.
set -euo pipefail

python=$1
venv=$2
here=$(dirname "${BASH_SOURCE[0]}")

fail() {
    printf 'perfsdk: %s\n' "$1" >&2
    exit 1
}

identity() { "$1" -c 'import sys; print(sys.version, sys.base_prefix)' 2>/dev/null; }

command -v "$python" >/dev/null ||
    fail "$python is not installed: apt-get install python3, or name another: make PYTHON=python3.11"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$python is too old, 3.10 or newer is needed; name another: make PYTHON=python3.11"

# Debian keeps this part of the standard library in a package of its own.
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    package=$(basename "$python")-venv
    echo "$package" | "$here/install-debian-packages.sh" 2>/dev/null ||
        fail "$python cannot make virtual environments: as root, apt-get install $package"
fi

# Two Pythons in one environment would mix their packages.
clear=()
if [ -e "$venv" ] && [ "$(identity "$venv/bin/python" || true)" != "$(identity "$python")" ]; then
    clear=(--clear)
fi
"$python" -m venv ${clear[@]+"${clear[@]}"} "$venv"
