#!/bin/sh
# fix-freq.sh - hold the clocks of a Rockchip board's NPU, CPUs and memory at their highest step.
#
#   fix-freq.sh            fix them (root; until the next start of the machine, or restore)
#   fix-freq.sh --show     what is set now
#   fix-freq.sh --restore  the governors and idle states of before
#
# Without it the governors follow the load, a token takes longer and its time varies; with it the board takes
# more power and heat. What a board has not is passed over. SYSFS=DIR in the environment: another /sys, for tests.
set -eu

sys=${SYSFS:-/sys}
state=${STATE:-/run/curlew-fix-freq}

devices() { # the NPU, the memory and the GPU under devfreq, by the names that boards give them
    for d in "$sys"/class/devfreq/*npu* "$sys"/class/devfreq/*dmc* "$sys"/class/devfreq/*gpu*; do
        [ -e "$d/governor" ] && echo "$d"
    done
    return 0
}

policies() {
    for p in "$sys"/devices/system/cpu/cpufreq/policy*; do
        [ -e "$p/scaling_governor" ] && echo "$p"
    done
    return 0
}

idle_states() { # the deeper ones: waking from them takes longest
    for s in "$sys"/devices/system/cpu/cpu*/cpuidle/state[1-9]; do
        [ -e "$s/disable" ] && echo "$s/disable"
    done
    return 0
}

put() { # put VALUE FILE: what the kernel does not take is told and passed over
    echo "$1" 2>/dev/null >"$2" || echo "fix-freq: $2 does not take $1" >&2
}

highest() {
    tr ' ' '\n' <"$1" | sort -n | tail -n 1
}

save() { # save FILE: its first value, once
    grep -qs " $1\$" "$state" || echo "$(cat "$1") $1" >>"$state"
}

fix() {
    touch "$state"
    for p in $(policies); do
        save "$p/scaling_governor"
        put performance "$p/scaling_governor"
    done
    for d in $(devices); do
        save "$d/governor"
        top=$(highest "$d/available_frequencies")
        put userspace "$d/governor"
        if [ -e "$d/userspace/set_freq" ]; then
            put "$top" "$d/userspace/set_freq"
        else
            put performance "$d/governor"
        fi
    done
    for s in $(idle_states); do
        save "$s"
        put 1 "$s"
    done
}

restore() {
    [ -e "$state" ] || { echo "fix-freq: nothing was fixed" >&2; exit 1; }
    while read -r value file; do
        put "$value" "$file"
    done <"$state"
    rm -f "$state"
}

show() {
    for p in $(policies); do
        echo "$(basename "$p"): $(cat "$p/scaling_cur_freq") kHz, $(cat "$p/scaling_governor")"
    done
    for d in $(devices); do
        echo "$(basename "$d"): $(cat "$d/cur_freq") Hz, $(cat "$d/governor")"
    done
}

case ${1:-} in
'') fix ;;
--show) show ;;
--restore) restore ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
