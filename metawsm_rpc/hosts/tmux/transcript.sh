# Keeps what a pane prints, within bounds: sh transcript.sh FILE SEGMENT_BYTES SEGMENTS <pane
#
# FILE is the newest segment. A full one is renamed to FILE.<offset of its first byte, 15 digits>,
# and the oldest is deleted, so that never more than SEGMENT_BYTES * SEGMENTS are kept.
# dd, unlike head, writes what it has read at once; `count` bounds how much that can be.

main() {
    export PATH="${PATH:+$PATH:}/usr/bin:/bin" LC_ALL=C
    umask 077
    IFS=
    digits='[0-9][0-9][0-9]'
    block=4096
    while : >>"$1" && size=$(wc -c <"$1"); do
        room=$((($2 - size) / block))
        if [ "$room" -gt 0 ]; then
            dd bs="$block" count="$room" >>"$1" 2>/dev/null || exit
            [ "$(wc -c <"$1")" -ne "$size" ] || exit 0 # nothing came: the pane is gone
        else
            rotate "$1" "$3" || exit
        fi
    done
}

rotate() {
    start=0 kept=1 oldest=
    for old in "$1".$digits$digits$digits$digits$digits; do
        [ -e "$old" ] || break
        start=$((1${old##*.} - 1000000000000000 + $(wc -c <"$old"))) # the 1 keeps it from being octal
        kept=$((kept + 1))
        oldest=${oldest:-$old}
    done
    if [ "$kept" -ge "$2" ]; then rm -f -- "$oldest" || return; fi
    mv -- "$1" "$1.$(printf %015d "$start")"
}

main "$@"
