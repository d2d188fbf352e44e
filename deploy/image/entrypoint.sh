#!/bin/sh
# Start `xisuan` with the planner's machine code that the image brings. Numba takes stored code only from a folder that
# it may write to, and the image is read-only: so the code is copied to the cache first (some megabytes, once for each).
set -eu
brought=${XISUAN_COMPILED:-/opt/xisuan/compiled}
cache=${XDG_CACHE_HOME:-/var/cache/xisuan}/compiled
if [ -d "$brought" ] && mkdir -p "$cache" 2>/dev/null; then
  [ -e "$cache/.copied" ] || { cp -R "$brought/." "$cache/" && chmod -R u+w "$cache" && : > "$cache/.copied"; }
  export NUMBA_CACHE_DIR="$cache"
fi
exec xisuan "$@"
