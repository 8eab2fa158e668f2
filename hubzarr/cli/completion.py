"""Completion of commands, options, names and versions by bash, zsh and fish.

The scripts ask ``hubzarr _complete -- WORDS``, the last word being the one to complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import hubzarr as hub
from hubzarr.cli.command import Argument, Command
from hubzarr.config import get_config
from hubzarr.errors import HubzarrError

__all__ = ["SCRIPTS", "SHELLS", "candidates"]

SHELLS: Final = ("bash", "zsh", "fish")

# bash cuts words at ':' and '=', and replaces only what comes after the last cut.
_BASH = r"""# hubzarr completion for bash: add to ~/.bashrc
#   eval "$(hubzarr completion bash)"
_hubzarr() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$' \t\n'
    local -a words
    read -r -a words <<< "$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    local current="${words[${#words[@]}-1]}"
    local tail="${current##*[:@=]}"
    local kept="${current%"$tail"}"
    IFS=$'\n'
    local candidate
    COMPREPLY=()
    for candidate in $(hubzarr _complete -- "${words[@]:1}" 2>/dev/null); do
        COMPREPLY+=("${candidate#"$kept"}")
    done
    # A name may go on with a version.
    [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == *[:/] ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o default -F _hubzarr hubzarr
"""

_ZSH = r"""#compdef hubzarr
# hubzarr completion for zsh: add to ~/.zshrc after compinit
#   eval "$(hubzarr completion zsh)"
_hubzarr() {
    local -a candidates
    candidates=("${(@f)$(hubzarr _complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -- "${(@)candidates:#}"
}
compdef _hubzarr hubzarr
"""

_FISH = r"""# hubzarr completion for fish: save as ~/.config/fish/completions/hubzarr.fish
function __hubzarr_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    hubzarr _complete -- $words[2..-1] "$current" 2>/dev/null
end
complete -c hubzarr -f -a '(__hubzarr_complete)'
"""

SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def candidates(
    words: Sequence[str], commands: Sequence[Command], common: Sequence[Argument]
) -> list[str]:
    """What the last word can become; errors and unreachable stores give nothing."""
    *before, current = words or [""]
    command, given = _parsed(before, commands, common)
    offered: Iterable[str]
    if given is None:
        return []
    if current.startswith("-"):
        arguments = [*common, *(command.arguments if command else ())]
        offered = (name for a in arguments if a.is_option for name in a.names)
    elif command is None:
        offered = (c.name for c in commands)
    else:
        offered = _values(command, given, current)
    return sorted({word for word in offered if word.startswith(current)})


def _parsed(
    before: Sequence[str], commands: Sequence[Command], common: Sequence[Argument]
) -> tuple[Command | None, int | None]:
    """The command, and how many words it has; None for words where nothing can be offered."""
    by_name = {c.name: c for c in commands}
    command: Command | None = None
    count = 0
    pending: str | None = None
    for word in before:
        if pending is not None:
            if pending == "--root":
                hub.configure(root=word)
            pending = None
        elif word.startswith("-"):
            arguments = [*common, *(command.arguments if command else ())]
            if any(word in a.names and a.is_option and a.takes_value for a in arguments):
                pending = word
            elif word.startswith("--root="):
                hub.configure(root=word.removeprefix("--root="))
        elif command is None:
            command = by_name.get(word)
            if command is None:
                return None, None
        else:
            count += 1
    return command, None if pending is not None else count


def _values(command: Command, given: int, current: str) -> list[str]:
    places = [a for a in command.arguments if not a.is_option]
    if given >= len(places):
        return []
    argument = places[given]
    if "choices" in argument.options:
        return list(argument.options["choices"])
    return _names(current) if argument.completes == "name" else []


def _names(current: str) -> list[str]:
    try:
        repository, colon, _ = current.partition(":")
        if colon and not current.partition(":")[2].startswith("//"):
            return [f"{repository}:{v.name}" for v in hub.versions(repository)]
        roots, first = get_config().roots, current.partition("/")[0]
        below = first if first in roots and "/" in current else ""
        names = [*hub.list(below), *(f"{name}/" for name in roots)]
        if current in names and current[-1:] != "/":
            return [current, *(f"{current}:{v.name}" for v in hub.versions(current))]
    except HubzarrError:
        return []
    return names
