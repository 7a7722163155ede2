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

# install_postgresql  Its server, which is on nobody's path. Tests and measurements start it by themselves.
install_postgresql() {
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || apt_install postgresql
}

# garage_binary test|bench  Prints the path of Garage, an S3 store, building it the first time (some minutes; it is in no
# Debian release). GARAGE=/path/to/garage uses one that is there. Tests take one with nothing that they do not use, with
# Debian's libraries and hardly optimized, which is built in a third of the time; measurements one as its makers mean it.
garage_binary() {
  local cache=${XDG_CACHE_HOME:-$HOME/.cache} version=2.5.0 root settings=() options=() crate
  case $1 in
    test)
      root=$cache/partway settings=(CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off)
      options=(--no-default-features --features "lmdb,system-libs")
      for crate in aes argon2 blake2 crc-fast md-5 sha1 sha2 xxhash-rust; do
        options+=(--config "profile.release.package.$crate.opt-level=2")
      done
      ;;
    bench) root=$cache/partway-bench ;;
  esac
  local garage=${GARAGE:-$root/bin/garage}
  # One from another machine may lack its libraries.
  if ! "$garage" --version >/dev/null 2>&1; then
    install_packages protobuf-compiler:protoc gcc:gcc pkg-config:pkg-config >&2
    [ "$1" != test ] || pkg-config --exists libsodium libzstd || apt_install libsodium-dev libzstd-dev >&2
    echo "building garage $version" >&2
    env "${settings[@]}" cargo install garage --version "$version" --locked --quiet --root "$root" "${options[@]}" >&2 || return
  fi
  echo "$garage"
}
