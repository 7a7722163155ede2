# Sourced by the scripts: installs what is missing on a Debian machine.

# apt_install PACKAGE...  As root, or with sudo.
apt_install() {
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      echo "missing Debian packages: $*; install them as root, or install sudo" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  echo "installing $*" >&2
  "${as_root[@]}" apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# install_packages PACKAGE:COMMAND...  A package whose command is there counts as installed.
install_packages() {
  local missing=() pair
  for pair in "$@"; do
    PATH="$PATH:/usr/sbin" command -v "${pair#*:}" >/dev/null 2>&1 || missing+=("${pair%%:*}")
  done
  [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

# python_with DIRECTORY REQUIREMENT  Makes a virtual environment that has the requirement, unless it is there.
python_with() {
  [ -e "$1/.has-$2" ] && return 0
  install_packages python3:python3
  rm -rf "$1"
  # Debian's own Python has what it needs for this in a package of its own; other builds bring it.
  python3 -m venv "$1" >/dev/null 2>&1 || { rm -rf "$1"; apt_install python3-venv; python3 -m venv "$1"; }
  "$1/bin/pip" install --quiet --disable-pip-version-check "$2"
  touch "$1/.has-$2"
}
