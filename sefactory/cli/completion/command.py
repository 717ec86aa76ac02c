"""The commands `sefactory completion SHELL`, which prints a script, and `sefactory _complete LINE`, which the scripts call."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ...errors import did_you_mean, join_words
from .candidates import SHELLS, complete
from .shell_words import split_line

PROGRAM = "sefactory"
CURE = f"write sefactory completion with one of {join_words(SHELLS)}"
USAGE = """\
usage: sefactory completion [bash|zsh|fish]

Prints the code for tab completion. Add a line to the start-up file of your shell:

  bash  ~/.bashrc                   eval "$(sefactory completion bash)"
  zsh   ~/.zshrc                    eval "$(sefactory completion zsh)"
  fish  ~/.config/fish/config.fish  sefactory completion fish | source"""


def print_script(arguments: Sequence[str]) -> int:
    """Prints the script for a shell, by default for that of $SHELL, and returns the exit code."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    shell = arguments[0].removeprefix("install=") if arguments else Path(os.environ.get("SHELL", "")).name
    if len(arguments) > 1 or shell not in SHELLS:
        given = " ".join(arguments) or (f"$SHELL is {shell}" if shell else "$SHELL is not set")
        print(f"sefactory completion: {given}; {CURE}{did_you_mean(shell, SHELLS)}", file=sys.stderr)
        return 2
    print(Path(__file__).with_name(f"script.{shell}").read_text(encoding="utf-8"), end="")
    return 0


def print_candidates(arguments: Sequence[str]) -> int:
    """Prints a candidate a line and returns the exit code 0.

    The arguments are the line up to the cursor, and in bash COMP_WORDBREAKS: bash inserts what follows the last of these
    characters. The other shells insert the word, and show the description after the tab.
    """
    line, *word_breaks = arguments or [""]
    words, kept = split_line(line, word_breaks[0] if word_breaks else "")
    names = [i for i, word in enumerate(words[:-1]) if Path(word).name == PROGRAM]
    for text, description in complete(words[names[0] + 1 if names else 1 :] or [""]):
        print(text[kept:] if word_breaks else f"{text}\t{description}" if description else text)
    return 0
