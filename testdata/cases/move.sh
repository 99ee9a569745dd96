#!/bin/sh
# move.sh [FILE START STEP]...: writes each counter twelve times, STEP uJ further each time, in about 0.6 s.
i=1
while [ $i -le 12 ]; do
    for_each() {
        while [ $# -gt 0 ]; do
            echo $(($2 + i * $3)) > "$1"
            shift 3
        done
    }
    for_each "$@"
    sleep 0.05
    i=$((i + 1))
done
