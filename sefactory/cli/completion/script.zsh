#compdef sefactory
# Tab completion of sefactory for zsh: eval "$(sefactory completion zsh)", or this file as _sefactory in a folder of $fpath
_sefactory() {
    local line
    local -a unfinished unfinished_shown finished finished_shown
    for line in "${(@f)$("${words[1]/#\~/$HOME}" _complete "${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX" 2>/dev/null)}"; do
        local text="${line%%$'\t'*}" shown="${line/$'\t'/  -- }"
        if [[ "$text" == *[=.,@/] ]]; then
            unfinished+=("$text") unfinished_shown+=("$shown")
        elif [[ -n "$text" ]]; then
            finished+=("$text") finished_shown+=("$shown")
        fi
    done
    (( $#unfinished )) && compadd -U -l -S '' -d unfinished_shown -a unfinished
    (( $#finished )) && compadd -U -l -d finished_shown -a finished
    (( $#unfinished + $#finished ))
}
if [[ "$funcstack[1]" == _sefactory ]]; then
    _sefactory "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _sefactory sefactory
fi
