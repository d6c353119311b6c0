#!/bin/sh
# Writes what goes beside a release's bundles: Homebrew's cask, and what the updater asks for.
# usage: packaging/release.sh VERSION OWNER/REPOSITORY FOLDER, where FOLDER holds Tauri's bundles for macOS.
set -eu
version=$1 repository=$2 bundles=$3
dmg=$bundles/dmg/Hearth_${version}_aarch64.dmg
sha256=$(shasum -a 256 "$dmg" | cut -d ' ' -f 1)
fill="s|@VERSION@|$version|; s|@SHA256@|$sha256|; s|@REPOSITORY@|$repository|"

archive=$bundles/macos/Hearth.app.tar.gz
if [ -f "$archive.sig" ]; then
    url=https://github.com/$repository/releases/download/v$version/Hearth.app.tar.gz
    printf '{"version":"%s","platforms":{"darwin-aarch64":{"signature":"%s","url":"%s"}}}\n' \
        "$version" "$(cat "$archive.sig")" "$url" >"$bundles/latest.json"
else
    fill="$fill; /auto_updates/d"
fi
sed "$fill" "$(dirname "$0")/hearth.rb.in" >"$bundles/hearth.rb"
