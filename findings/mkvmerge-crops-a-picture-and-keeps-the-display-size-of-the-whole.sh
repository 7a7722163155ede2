#!/usr/bin/env bash
# mkvmerge crops a track and leaves its display size that of the whole picture.
#
# Seen with mkvmerge 74.0.0 (Debian 12, package mkvtoolnix 74.0.0-1+deb12u1) and ffmpeg 5.1 for the input, on 2026-11-30:
#   a video of 320 x 180, muxed with --cropping 0:0,10,0,10
#   Pixel width 320, Pixel height 180, Pixel crop top 10, Pixel crop bottom 10, Display width 320, Display height 180
# RFC 9559, section 5.4.1.28.12 and following: the display size is that of the picture after cropping, and its default is the
# cropped size. Read by the letter, the file says that 320 x 160 pixels are stretched to 320 x 180. Nobody who crops black bars wants that, and
# ffmpeg (5.1) ignores cropping altogether. A reader of sizes takes a display size that equals the whole picture for none.
#
# Needs python3, ffmpeg, and apt-get for mkvmerge unless it is installed; takes nothing but a temporary directory, and leaves nothing there.
# Exits with 1 if mkvmerge behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkvmerge=$(command -v mkvmerge || true)
if [ -z "$mkvmerge" ]; then
  (cd "$work" && apt-get update -qq && apt-get install -y -qq --no-install-recommends mkvtoolnix=74.0.0-1+deb12u1) >&2
  mkvmerge=$(command -v mkvmerge)
fi
"$mkvmerge" --version

ffmpeg -nostdin -v error -f lavfi -i testsrc2=size=320x180:duration=0.2 -c:v libx264 "$work/whole.mp4"
"$mkvmerge" --quiet --output "$work/cropped.mkv" --cropping 0:0,10,0,10 "$work/whole.mp4"
"$mkvmerge" --identify --identification-format json "$work/cropped.mkv" >"$work/cropped.json"

python3 - "$work/cropped.json" "$work/cropped.mkv" <<'PYTHON'
import json, sys

track = json.load(open(sys.argv[1]))["tracks"][0]["properties"]
pixels, display = track["pixel_dimensions"], track["display_dimensions"]
# The ids of PixelCropBottom and PixelCropTop, each with its length and 10.
cropping = [element in open(sys.argv[2], "rb").read() for element in (b"\x54\xaa\x81\x0a", b"\x54\xbb\x81\x0a")]
print(f"pixels {pixels}, display {display}, cropped at the bottom and top: {cropping}")
if cropping != [True, True]:
    sys.exit("mkvmerge did not crop")
if (pixels, display) != ("320x180", "320x180"):
    sys.exit("mkvmerge now writes another display size")
PYTHON
