"""Tab completion for the shell. Hydra's own completion knows no sub-commands: the script removes ours and calls it."""

BASH = """\
_sefactory_complete() {
    local words=("${COMP_WORDS[@]:0:COMP_CWORD+1}") current="${COMP_WORDS[COMP_CWORD]}"
    if [ "$COMP_CWORD" -le 1 ]; then
        COMPREPLY=($(compgen -W "show bench completion" -- "$current"))
        return
    fi
    case "${COMP_WORDS[1]}" in
    completion) COMPREPLY=($(compgen -W "bash zsh" -- "$current")) ;;
    show | bench)
        local line="${COMP_LINE:0:COMP_POINT}"
        line="sefactory${line#*sefactory*${COMP_WORDS[1]}}"
        COMPREPLY=($(COMP_LINE="$line" COMP_POINT="${#line}" sefactory "${COMP_WORDS[1]}" -sc query=bash 2>/dev/null))
        ;;
    esac
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
COMP_WORDBREAKS=$COMP_WORDBREAKS complete -o nospace -o default -F _sefactory_complete sefactory"""

SCRIPTS = {"bash": BASH, "zsh": f"autoload -U +X bashcompinit && bashcompinit\n{BASH}"}
