#!/bin/sh
# Starts Docxy, a Docker registry mirror: finds a Python, installs once, then hands over to Python.
# What Python could decide is decided there (addon/launch.py). `./run.sh help` lists the commands.
set -eu

usage() {
    cat <<'USAGE'
Docxy on mitmproxy: a Docker registry mirror.

  ./run.sh [options]         start the mirror: plain HTTP on 127.0.0.1:8080, or TLS on port 443
                             once there is a certificate (CERT_PATH and KEY_PATH, or DOMAIN)
  ./run.sh inspect [options] the same mirror, and a page on 127.0.0.1 that shows what passes through
                             it; its address is printed. --console: the same in this terminal
  ./run.sh record FILE [options] -- COMMAND...
                             run a command with a mirror of its own, whose address is in $DOCXY,
                             and save what it asked: record a.mitm -- sh -c 'curl $DOCXY/v2/'
  ./run.sh demo [--stay]     see a whole pull; needs no Internet, no Docker, no certificate
  ./run.sh bench [options]   measure pulls over a long line, and what they cost; some minutes
  ./run.sh test [options]    install what the tests need and run them; options are pytest's
  sudo ./run.sh install --domain NAME [options]
                             a server's mirror: user, systemd unit, certificate by acme.sh; again:
                             an upgrade. --dry-run shows every step, --help the options
  sudo ./run.sh uninstall    remove all that install has made
  ./run.sh help              this text

All options are mitmproxy's and win over the mirror's own defaults. Those that matter here:

  -p PORT                    the main port
  --listen-host HOST         the address; 0.0.0.0 opens a mirror without certificate to the LAN
  --workers N                so many processes on the same ports; auto: one for each core
  --set docxy_http_port=N    the plain port beside TLS (80; 0 means none)
  --set docxy_NAME=VALUE     the mirror's other options: docs/options.md
  --options                  mitmproxy's own options
  -- FILTER                  a mitmproxy filter without an option before it

Environment: CERT_PATH, KEY_PATH, DOMAIN (the certificate), DOCXY_STATE_DIR (default .docxy),
DOCXY_VENV (default .venv), DOCXY_PYTHON (default: the newest Python found), HTTPS_PROXY, NO_PROXY.
USAGE
}

say() {
    printf 'docxy: %s\n' "$*" >&2
}

die() {
    say "$*"
    exit "${code:-1}"
}

# ---- Python -------------------------------------------------------------------------------------

# Prints "3.11.7 venv" or "3.11.7 no-venv", or nothing for what does not run: a pyenv shim of a
# version that is not active exists and only prints an error. Understood by Python 2 too.
PROBE='
import sys
version = "%d.%d.%d" % sys.version_info[:3]
try:
    import venv, ensurepip
    print(version + " venv")
except ImportError:
    print(version + " no-venv")
'

probe() {
    # From / : the folder that the user is in may hold a venv.py, or a folder of that name.
    (cd / && "$1" -c "$PROBE") 2>/dev/null </dev/null || true
}

# Every match on the PATH, not the first alone: a dead shim may hide a Python that works.
candidates() {
    for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
        rest=$PATH:
        while [ -n "$rest" ]; do
            folder=${rest%%:*}
            rest=${rest#*:}
            case $folder in
            /*) ;;
            *) folder=$PWD/$folder ;;
            esac
            if [ -x "$folder/$name" ] && [ ! -d "$folder/$name" ]; then
                printf '%s\n' "$folder/$name"
            fi
        done
    done
}

# A version as a number that can be compared: 3.11.7 -> 30000 + 1100 + 7 ...
rank() {
    major=${1%%.*}
    minor=${1#*.}
    patch=${minor#*.}
    minor=${minor%%.*}
    echo $((major * 1000000 + minor * 1000 + patch))
}

# Adds to what was found; a folder may be on the PATH twice.
note() {
    case ", $found, " in
    *", $1, "*) ;;
    *) found=${found:+$found, }$1 ;;
    esac
}

# Sets python and python_version.
find_python() {
    if [ -n "${DOCXY_PYTHON:-}" ]; then
        list=$DOCXY_PYTHON
    else
        list=$(candidates)
    fi
    best=0
    found=
    while IFS= read -r candidate; do
        [ -n "$candidate" ] || continue
        answer=$(probe "$candidate")
        version=${answer% *}
        case $answer in
        *.*.*' venv' | *.*.*' no-venv') ;;
        *)
            note "${candidate##*/} does not run"
            continue
            ;;
        esac
        if [ "$(rank "$version")" -lt 3011000 ]; then
            note "${candidate##*/} is $version (too old)"
        elif [ "$answer" = "$version no-venv" ]; then
            note "${candidate##*/} is $version without its venv module (apt install python${version%.*}-venv)"
        elif [ "$(rank "$version")" -gt "$best" ]; then
            best=$(rank "$version")
            python=$candidate
            python_version=$version
        fi
    done <<LIST
$list
LIST
    [ "$best" -gt 0 ] || die "needs Python 3.11 or newer with its venv module; found: ${found:-none}"
}

# ---- The virtual environment --------------------------------------------------------------------

venv_version() {
    # -I -S: nothing of the environment's is loaded, which makes it quick.
    "$venv/bin/python" -I -S -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || true
}

# What an installation depends on. Where the project lies counts: the mirror is installed from there.
stamp_of() {
    printf '%s %s %s\n' "$(cksum <"$root/pyproject.toml")" "$1" "$root"
}

is_installed() {
    version=$(venv_version)
    [ -n "$version" ] && [ -f "$venv/.docxy-$1" ] && [ "$(cat "$venv/.docxy-$1")" = "$(stamp_of "$version")" ]
}

# The Python that DOCXY_PYTHON names wins over the one that an existing environment was made with.
is_wanted_python() {
    [ -z "${DOCXY_PYTHON:-}" ] && return
    answer=$(probe "$DOCXY_PYTHON")
    [ "${answer% *}" = "$(venv_version)" ]
}

ensure() {
    if is_installed "$1" && is_wanted_python; then
        return
    fi
    mkdir -p "$(dirname "$venv")" || die "cannot make $(dirname "$venv")"
    find_python
    # Of two starts at once the second waits, and then finds all installed. The lock belongs to this
    # shell's descriptor, so it ends with the shell however that ends; Python only takes it.
    exec 9<"$root/pyproject.toml"
    # Where the file system has no locks (NFS), two first starts at once are the user's to avoid.
    "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' 2>/dev/null || true
    if ! { is_installed "$1" && is_wanted_python; }; then
        (install "$1")
    fi
    exec 9<&-
}

install() {
    make_venv
    cd "$root"
    version=$(venv_version)
    say "installing into $venv (Python $version; only this once, about half a minute) ..."
    log=$venv/docxy-install.log
    rm -f "$venv/.docxy-$1"
    # PIP_USER from a user's pip.conf would refuse to install into a virtual environment.
    if ! PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USER=0 PIP_NO_INPUT=1 \
        "$venv/bin/python" -m pip install --quiet -e ".[$1]" >"$log" 2>&1 </dev/null; then
        explain_pip
    fi
    stamp_of "$version" >"$venv/.docxy-demo"
    if [ "$1" = test ]; then
        stamp_of "$version" >"$venv/.docxy-test"
    fi
}

# An environment of ours is made anew when it has no stamp (an interrupted install) or its Python is
# gone; one that somebody else made and that works is used as it is, and is never removed.
make_venv() {
    if [ -e "$venv" ] && [ ! -e "$venv/.docxy-venv" ]; then
        [ -n "$(venv_version)" ] || [ -z "$(ls -A "$venv")" ] ||
            die "$venv is not a virtual environment that works; remove it, or name another in DOCXY_VENV"
        is_wanted_python || die "$venv was made with another Python than DOCXY_PYTHON"
        [ -z "$(venv_version)" ] || return 0
    fi
    if { [ -e "$venv/.docxy-demo" ] || [ -e "$venv/.docxy-test" ]; } &&
        [ "$(venv_version)" = "$python_version" ]; then
        return
    fi
    rm -rf "$venv" 2>/dev/null ||
        die "$venv is of no use to this user, who may not remove it; name another in DOCXY_VENV"
    mkdir "$venv" || die "cannot make $venv"
    : >"$venv/.docxy-venv"
    "$python" -m venv "$venv" >"$venv/docxy-install.log" 2>&1 ||
        die "making $venv with $python failed; see $venv/docxy-install.log"
}

# One line out of pip's many.
explain_pip() {
    reason=
    network=
    while IFS= read -r line; do
        case $line in
        *'ERROR: '*) reason=${line##*ERROR: } ;;
        *NewConnectionError* | *'Name or service not known'* | *'name resolution'* | *ConnectTimeout* | \
            *ReadTimeout* | *ProxyError* | *'Network is unreachable'* | *SSLError* | *'Connection refused'*)
            network=1
            ;;
        esac
    done <"$log"
    if [ -n "$network" ]; then
        die "cannot install: the package index cannot be reached (no network?): ${reason:-pip failed}; see $log"
    fi
    die "cannot install: ${reason:-pip failed}; see $log"
}

# ---- Commands -----------------------------------------------------------------------------------

# Through a symlink this is still the project's folder.
root=$(cd "$(dirname "$(readlink -f "$0")")" && pwd -P)
venv=${DOCXY_VENV:-$root/.venv}
case $venv in
/*) ;;
*) venv=$PWD/$venv ;;
esac
case ${DOCXY_PYTHON:-} in
*/*) [ "${DOCXY_PYTHON#/}" != "$DOCXY_PYTHON" ] || DOCXY_PYTHON=$PWD/$DOCXY_PYTHON ;;
esac

case ${1-} in
help | -h | --help)
    usage
    ;;
inspect)
    shift
    ensure demo
    exec "$venv/bin/python" -P -m addon.inspector "$@"
    ;;
record)
    shift
    ensure demo
    exec "$venv/bin/python" -P -m addon.recorder "$@"
    ;;
demo)
    shift
    ensure demo
    cd "$root"
    exec "$venv/bin/python" -m tests.demo "$@"
    ;;
bench)
    shift
    ensure demo
    cd "$root"
    exec "$venv/bin/python" -m tests.bench "$@"
    ;;
install | uninstall)
    # What root runs, and what the service will run, is the system's own; and nothing is left in
    # the user's folder.
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    find_python
    PYTHONPATH=$root exec "$python" -P -B -m addon.install.command "$@"
    ;;
test)
    shift
    ensure test
    cd "$root"
    exec "$venv/bin/python" -m pytest "$@"
    ;;
'' | -*)
    ensure demo
    # -P: a folder called addon where the user happens to be is not ours.
    exec "$venv/bin/python" -P -m addon.launch "$@"
    ;;
*)
    code=2 die "there is no command '$1' (./run.sh help); a mitmproxy filter stands after --"
    ;;
esac
