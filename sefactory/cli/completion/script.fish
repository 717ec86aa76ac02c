# Tab completion of sefactory for fish: sefactory completion fish | source
function __sefactory_complete
    set -l words (commandline -opc)
    $words[1] _complete (commandline -cp) 2>/dev/null
end
complete -c sefactory -f -a '(__sefactory_complete)'
