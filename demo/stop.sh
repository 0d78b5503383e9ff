#!/bin/bash
# stop.sh: end the demo's server and broker, and remove what it wrote.
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/demo/common.sh"

if [ -d "$demo" ]; then
    demo_stop
    echo "The demo is gone."
else
    echo "No demo is running."
fi
