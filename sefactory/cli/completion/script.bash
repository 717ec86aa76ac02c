# Tab completion of sefactory for bash: eval "$(sefactory completion bash)"
_sefactory() {
    local candidate
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("$candidate")
    done < <("${1/#\~/$HOME}" _complete "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
    # more can follow: no space after the word
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=.,@/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _sefactory sefactory
