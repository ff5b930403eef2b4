# Runs one agent in its pane, and records how it ended: sh shim.sh DIRECTORY LAUNCH
#
# DIRECTORY holds `environment` (exports; removed once read) and `command` (the folder to work in
# and the argument list), and gets `exit`, which is there whole or not at all. LAUNCH stands on the
# command line so that this process can be told from a later one with the same number.

main() {
    # The tmux server's environment is that of whoever started it first: begin without it.
    if [ "${METAWSM_LAUNCH-}" != "$2" ]; then
        exec env -i METAWSM_LAUNCH="$2" PATH="${PATH:+$PATH:}/usr/bin:/bin" \
            TERM="${TERM-}" TMUX="${TMUX-}" TMUX_PANE="${TMUX_PANE-}" /bin/sh "$0" "$@"
    fi

    # Ctrl-C is meant for the agent. HUP is not trapped: the end of the session ends all of it.
    trap : INT QUIT
    (
        set -- "$1" "$2" "$(command -v rm)" # found before PATH is the agent's
        unset PATH METAWSM_LAUNCH
        . "$1/environment"
        "$3" -f -- "$1/environment"
        . "$1/command"
        unset OLDPWD SHLVL
        exec "$@"
    )
    code=$?

    trap '' INT QUIT
    printf '%s\n' "$code" >"$1/exit.new" && mv -f -- "$1/exit.new" "$1/exit"
    exit "$code"
}

# A function is read whole before it runs, so this file may be replaced meanwhile.
main "$@"
