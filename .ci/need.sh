# Sourced by ./demo, ./test and .ci/run: what a build needs, got where that is possible, else told.

say() { printf '%s\n' "$*" >&2; }

# Cargo and a C compiler: SQLite, zstd and the TLS library are compiled from their C sources.
need_build_tools() {
  if ! command -v cargo >/dev/null 2>&1 && [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH="$HOME/.cargo/bin:$PATH"
  fi
  if ! command -v cargo >/dev/null 2>&1; then
    say "cargo is missing: install Rust 1.95 or newer from https://rustup.rs, then run this again."
    exit 1
  fi
  if command -v cc >/dev/null 2>&1 || command -v "${CC:-gcc}" >/dev/null 2>&1; then return; fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing a C compiler (gcc, libc6-dev) with apt-get"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc libc6-dev >&2 && return
  fi
  say "a C compiler is missing (SQLite is compiled from source). Debian, Ubuntu: sudo apt-get install gcc libc6-dev"
  say "Fedora: sudo dnf install gcc    macOS: xcode-select --install"
  exit 1
}

# Chromium for the tests in a real browser; CHROMIUM names another one. Returns 1, loudly, where it cannot be had.
need_chromium() {
  [ -x "${CHROMIUM:-/usr/bin/chromium}" ] && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing chromium with apt-get"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >&2 && return 0
  fi
  say "SKIPPED: the tests in a real browser. Debian, Ubuntu: sudo apt-get install chromium; elsewhere set CHROMIUM."
  return 1
}

# The target for which the rooms without I/O must also build. Returns 1, loudly, where it cannot be had.
need_wasm_target() {
  local sysroot
  sysroot=$(rustc --print sysroot)
  [ -d "$sysroot/lib/rustlib/wasm32-unknown-unknown" ] && return 0
  if command -v rustup >/dev/null 2>&1 && rustup target add wasm32-unknown-unknown >&2; then return 0; fi
  say "SKIPPED: the checks for wasm32-unknown-unknown. The target is not installed and could not be fetched:"
  say "SKIPPED: run 'rustup target add wasm32-unknown-unknown' where there is a network, then run this again."
  return 1
}

# Node 20.19 or newer with npm: for the TypeScript packages, the tests with LiveStore's own client and the reference of
# the benchmarks.
need_node() {
  if node_is_new_enough; then return; fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing Node.js (nodejs, npm) with apt-get"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >&2
    if node_is_new_enough; then return; fi
  fi
  say "Node 20.19 or newer with npm is missing: the TypeScript packages and the tests with LiveStore's client need it."
  say "Get it from https://nodejs.org, or on Debian 13, Ubuntu 25 and newer: sudo apt-get install nodejs npm"
  exit 1
}

node_is_new_enough() {
  command -v npm >/dev/null 2>&1 && node -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1);' 2>/dev/null
}

# The packages that a folder's package-lock.json names, exactly these.
need_packages() {
  if [ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ]; then return; fi
  (cd "$1" && npm ci --ignore-scripts --prefer-offline >&2)
}

# FERRY_BIN: the binary that tests in other languages drive. Without it the debug build, made as ./test makes it, so that
# nothing is built twice.
need_ferry_binary() {
  if [ -n "${FERRY_BIN:-}" ]; then return; fi
  need_build_tools
  local root target
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  (cd "$root" && cargo test --workspace --locked --no-run --quiet)
  target=${CARGO_TARGET_DIR:-$root/target}
  FERRY_BIN=$(cd "$root" && cd "$target" && pwd)/debug/ferry
  export FERRY_BIN
}

# nginx and Caddy for the tests behind real proxies; NGINX_BIN and CADDY_BIN name others. Return 1,
# loudly, where they cannot be had.
need_nginx() { need_server NGINX_BIN nginx; }
need_caddy() { need_server CADDY_BIN caddy; }

# moto_server, a server of S3 from PyPI, for the tests of backups at one that nobody here wrote; MOTO_BIN names another one.
# It gets a folder of its own below target/. Returns 1, loudly, where it cannot be had.
need_moto() {
  if [ -n "${MOTO_BIN:-}" ]; then return; fi
  local root folder
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  folder=${CARGO_TARGET_DIR:-$root/target}/tools/moto
  if [ ! -x "$folder/bin/moto_server" ] && command -v python3 >/dev/null 2>&1; then
    say "fetching moto with pip"
    { python3 -m venv "$folder" && "$folder/bin/pip" install --quiet 'moto[server]>=5,<6'; } >&2 2>/dev/null || rm -rf "$folder"
  fi
  if [ -x "$folder/bin/moto_server" ]; then
    export MOTO_BIN=$folder/bin/moto_server
    return
  fi
  say "SKIPPED: the tests at a server of S3 from elsewhere. They need python3 with venv and pip, and: pip install 'moto[server]';"
  say "SKIPPED: or set MOTO_BIN to its moto_server."
  return 1
}

# need_server VARIABLE PROGRAM: sets the variable to the path of a program of a Debian package of the same name, which is
# unpacked below target/ and not installed: packages of servers start them.
need_server() {
  local variable=$1 program=$2 root folder found
  if [ -n "${!variable:-}" ]; then return; fi
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  folder=${CARGO_TARGET_DIR:-$root/target}/tools/$program
  found=$(PATH="$PATH:/usr/sbin" command -v "$program" || true)
  if [ -z "$found" ] && [ ! -d "$folder" ] && command -v apt-get >/dev/null 2>&1; then
    say "fetching $program with apt-get"
    if [ "$(id -u)" = 0 ]; then apt-get update -qq >&2 || true; fi
    mkdir -p "$folder"
    (cd "$folder" && apt-get download -qq "$program" >&2 2>/dev/null && dpkg-deb -x "$program"_*.deb .) || rm -rf "$folder"
  fi
  if [ -z "$found" ]; then found=$(find "$folder"/usr/bin "$folder"/usr/sbin -name "$program" 2>/dev/null | head -n 1); fi
  if [ -n "$found" ] && { "$found" -v || "$found" version; } >/dev/null 2>&1; then
    export "$variable=$found"
    return
  fi
  say "SKIPPED: the tests behind $program. Debian: sudo apt-get install $program; elsewhere set $variable to its path."
  return 1
}
