#!/bin/sh
# Finds the Pythons of this machine that can run the project: 3.11 or newer, with venv.
#   pythons.sh first [PYTHON]  prints one: PYTHON if named, else python3, else the newest there is
#   pythons.sh all             prints "VERSION PATH" for each of 3.11, 3.12 and 3.13
# A pyenv shim exists for versions that are not selected and fails when called, so each candidate
# is started, and pyenv's own folders are looked into.

OLDEST="3, 11"

# Print the path and the version of a Python that works, or nothing.
probe() {
    "$1" -c "import sys
if sys.version_info >= ($OLDEST):
    import ensurepip, venv
    print(sys.executable, '%d.%d' % sys.version_info[:2])" 2>/dev/null
}

candidates() {
    echo python3
    for version in 3.13 3.12 3.11 3.14; do echo "python$version"; done
    shim=$(command -v python3) || shim=
    case $shim in
        */shims/*) root=${shim%/shims/*} ;;
        *) root=${PYENV_ROOT:-$HOME/.pyenv} ;;
    esac
    for version in 3.13 3.12 3.11; do ls -d "$root"/versions/$version.*/bin/python3 2>/dev/null; done
}

first() {
    for candidate in ${1:-$(candidates)}; do
        found=$(probe "$candidate")
        [ -n "$found" ] && echo "${found% *}" && return 0
    done
    said=$("${1:-python3}" --version 2>&1 | head -n 1)
    echo "Python 3.11 or newer with its venv module is needed, and ${1:-python3} is \"$said\":" \
        "name another with make PYTHON=/path/to/python3" >&2
    return 1
}

all() {
    for version in 3.11 3.12 3.13; do
        for candidate in $(candidates); do
            found=$(probe "$candidate")
            [ "${found##* }" = "$version" ] && echo "$version ${found% *}" && break
        done
    done
}

case $1 in
    first) first "$2" ;;
    all) all ;;
    *) sed -n 's/^# \{0,1\}//p' "$0" | sed 1d >&2; exit 2 ;;
esac
