#!/bin/sh
# Draws the bitmaps from the SVG files beside this. Needs rsvg-convert and png2icns (Debian: librsvg2-bin, icnsutils).
set -eu
cd "$(dirname "$0")"
for size in 32 128 256 512; do
    rsvg-convert --width "$size" hearth.svg --output "$size.png"
done
png2icns hearth.icns 32.png 128.png 256.png 512.png >/dev/null
for state in tray/*.svg; do
    rsvg-convert --width 44 "$state" --output "${state%.svg}.png" # 22 points on a Mac's display
done
