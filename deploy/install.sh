#!/bin/sh
# Installs ferry from the archive that lies beside this file, after comparing its sum with SHA256SUMS.
# Usage: ./install.sh [--prefix DIR] [--uninstall]
#   --prefix      where to [default: /usr/local for root, else ~/.local]
#   --uninstall   removes what was installed there; data and settings stay
set -eu

here=$(cd "$(dirname "$0")" && pwd)
prefix=""
uninstall=false
fail() { echo "install.sh: $*" >&2; exit 1; }
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) [ $# -ge 2 ] || fail "--prefix needs a folder"; prefix=$2; shift 2 ;;
    --uninstall) uninstall=true; shift ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
if [ -z "$prefix" ]; then
  if [ "$(id -u)" = 0 ]; then prefix=/usr/local; else prefix=$HOME/.local; fi
fi
list=$prefix/share/ferry/installed

# Removes the files that the list names, and the folders of ours that are empty then.
remove() {
  while IFS= read -r file; do rm -f "$prefix/$file"; done <"$list"
  rm -f "$list"
  rmdir "$prefix/share/ferry/deploy" "$prefix/share/ferry" 2>/dev/null || true
}

if $uninstall; then
  [ -f "$list" ] || fail "nothing of ferry is installed below $prefix: name the folder with --prefix"
  remove
  echo "removed from $prefix"
  exit
fi

archive=""
for file in "$here"/ferry-*.tar.gz; do
  [ -f "$file" ] || fail "no ferry-*.tar.gz lies beside this file"
  [ -z "$archive" ] || fail "several archives lie beside this file: leave one"
  archive=$file
done
name=$(basename "$archive")
[ -f "$here/SHA256SUMS" ] || fail "SHA256SUMS is missing beside the archive: get it from where the archive came from"
wanted=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]$name\$/\1/p" "$here/SHA256SUMS")
[ -n "$wanted" ] || fail "SHA256SUMS does not name $name"
if command -v sha256sum >/dev/null 2>&1; then
  found=$(sha256sum "$archive")
else
  found=$(shasum -a 256 "$archive")
fi
found=${found%% *}
[ "$found" = "$wanted" ] || fail "$name is not what SHA256SUMS says: get it again, and do not use this one"

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
tar -xzf "$archive" -C "$unpacked"
folder=$unpacked/${name%.tar.gz}
"$folder/bin/ferry" --version >/dev/null || fail "this ferry does not run here: is it for this machine?"

# What an earlier version brought, and this one may not.
if [ -f "$list" ]; then remove; fi
mkdir -p "$prefix/share/ferry"
: >"$list"
put() { # put MODE FILE PLACE
  mkdir -p "$(dirname "$prefix/$3")"
  # A running ferry goes on with its own file: the new one takes the name only.
  rm -f "$prefix/$3"
  cp "$2" "$prefix/$3"
  chmod "$1" "$prefix/$3"
  echo "$3" >>"$list"
}
put 755 "$folder/bin/ferry" bin/ferry
for page in "$folder"/share/man/man1/*; do put 644 "$page" "share/man/man1/$(basename "$page")"; done
put 644 "$folder/share/completions/ferry.bash" share/bash-completion/completions/ferry
put 644 "$folder/share/completions/ferry.zsh" share/zsh/site-functions/_ferry
put 644 "$folder/share/completions/ferry.fish" share/fish/vendor_completions.d/ferry.fish
for file in "$folder"/deploy/*; do put 644 "$file" "share/ferry/deploy/$(basename "$file")"; done
for file in LICENSE SBOM.cdx.json CHANGELOG.md; do put 644 "$folder/$file" "share/ferry/$file"; done
sed "s|/usr/local/bin/ferry|$prefix/bin/ferry|" "$folder/deploy/ferry.service" >"$prefix/share/ferry/deploy/ferry.service"

echo "$("$prefix/bin/ferry" --version) in $prefix/bin"
case :$PATH: in
  *":$prefix/bin:"*) ;;
  *) echo "add it to your PATH: export PATH=\"$prefix/bin:\$PATH\"" ;;
esac
