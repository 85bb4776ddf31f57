"""The completions of bash, zsh and fish, made from the tree of commands.

The problem: a script written by hand forgets the flag that was added yesterday. So each is made from what the
parsers take.

Rules:
- A script runs ``tokenward`` only where the name of a profile is wanted.
- Every word is quoted for its shell; no help text is ever evaluated by one.
- bash takes a colon for the end of a word, and every profile's name has one: it is put together again.
"""

from __future__ import annotations

from shlex import quote

from tokenward.cli.command_tree import Argument, Command

_PROFILES = "tokenward profiles list 2>/dev/null | sed -e 1d -e 's/ .*//'"

_BASH = """\
# bash completion of tokenward; made by: tokenward completion bash
_tokenward() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} at=$((COMP_CWORD - 1)) left='' path='' words='' i
    if [[ $word == : ]]; then
        left=${{COMP_WORDS[at]}}: word='' at=$((at - 1))
    elif [[ ${{COMP_WORDS[at]}} == : && $at -gt 1 ]]; then
        left=${{COMP_WORDS[at - 1]}}: at=$((at - 2))
    fi
    for ((i = 1; i <= at; i++)); do
        case "$path ${{COMP_WORDS[i]}}" in
            {known}) path="$path ${{COMP_WORDS[i]}}" ;;
        esac
    done
    case "$path ${{COMP_WORDS[at]}}" in
{values}        *)
            case $path in
{commands}            esac ;;
    esac
    local IFS=$' \\t\\n'
    case $words in
        *'<profile>'*) words="${{words/<profile>/}} $({profiles})" ;;
        *'<file>'*)
            words=${{words/<file>/}}
            if [[ $word != -* ]]; then
                IFS=$'\\n'
                compopt -o filenames 2>/dev/null
                COMPREPLY=($(compgen -f -- "$word"))
                return
            fi ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$left$word"))
    COMPREPLY=("${{COMPREPLY[@]#"$left"}}")
}}
complete -o bashdefault -o default -F _tokenward tokenward
"""

_ZSH = """\
#compdef tokenward
# zsh completion of tokenward; made by: tokenward completion zsh
_tokenward() {{
    local at=$((CURRENT - 1)) commandpath='' candidates='' i
    for ((i = 2; i <= at; i++)); do
        case "$commandpath ${{words[i]}}" in
            {known}) commandpath="$commandpath ${{words[i]}}" ;;
        esac
    done
    case "$commandpath ${{words[at]}}" in
{values}        *)
            case $commandpath in
{commands}            esac ;;
    esac
    case $candidates in
        *'<profile>'*) candidates="${{candidates/<profile>/}} $({profiles})" ;;
        *'<file>'*)
            candidates=${{candidates/<file>/}}
            [[ ${{words[CURRENT]}} == -* ]] || {{ _files; return; }} ;;
    esac
    compadd -- ${{=candidates}}
}}
if [[ ${{funcstack[1]-}} == _tokenward ]]; then
    _tokenward "$@"
else
    compdef _tokenward tokenward
fi
"""

_FISH = """\
# fish completion of tokenward; made by: tokenward completion fish
function __tokenward_at
    set -l path
    for word in (commandline -opc)[2..-1]
        if contains -- (string join -- ' ' $path $word) {known}
            set -a path $word
        end
    end
    test "$path" = "$argv[1]"
end
function __tokenward_profiles
    {profiles}
end
complete -c tokenward -f
"""


def script(shell: str, tree: Command) -> str:
    """The completions of a shell, as the text to be sourced.

    Args:
        shell: ``bash``, ``zsh`` or ``fish``.
        tree: the program.
    """
    if shell == "fish":
        return _fish(tree)
    template, name = (_BASH, "words") if shell == "bash" else (_ZSH, "candidates")
    everything = list(tree.everything())
    return template.format(
        known="|".join(quote(_path(each)) for each in everything[1:]),
        values="".join(_value_case(command, name) for command in everything),
        commands="".join(
            f"                {quote(_path(each))}) {name}={quote(' '.join(_first_words(each)))} ;;\n"
            for each in everything
        ),
        profiles=_PROFILES,
    )


def _path(command: Command) -> str:
    return "".join(f" {word}" for word in command.words)


def _value_case(command: Command, name: str) -> str:
    """The cases of the arguments whose value comes next."""
    return "".join(
        f"        {'|'.join(quote(f'{_path(command)} {flag}') for flag in argument.flags)})"
        f" {name}={quote(' '.join(_values(argument)))} ;;\n"
        for argument in command.arguments
        if argument.flags and argument.metavar
    )


def _values(argument: Argument) -> tuple[str, ...]:
    if argument.choices:
        return argument.choices
    if argument.is_file:
        return ("<file>",)
    return ("<profile>",) if argument.metavar == "PROFILE" else ()


def _first_words(command: Command) -> list[str]:
    """What may be typed next, where no argument waits for its value."""
    words = [each.words[-1] for each in command.below]
    for argument in command.arguments:
        words += argument.flags or _values(argument)
    return [*words, "--help"]


def _fish(tree: Command) -> str:
    everything = list(tree.everything())
    known = " ".join(_fish_quoted(" ".join(each.words)) for each in everything[1:])
    lines = [_FISH.format(known=known, profiles=_PROFILES)]
    for command in everything:
        at = "-n " + _fish_quoted(f"__tokenward_at {_fish_quoted(' '.join(command.words))}")
        lines += [
            f"complete -c tokenward {at} -a {each.words[-1]} -d {_fish_quoted(each.summary)}\n"
            for each in command.below
        ]
        lines += [_fish_argument(at, each) for each in command.arguments]
    return "".join(lines)


def _fish_argument(at: str, argument: Argument) -> str:
    values = _values(argument)
    candidates = "(__tokenward_profiles)" if values == ("<profile>",) else " ".join(values)
    takes = ""
    if values == ("<file>",):
        takes = " -r -F"
    elif argument.metavar:
        takes = f"{' -x' if argument.flags else ''}{f' -a {_fish_quoted(candidates)}' if candidates else ''}"
    flags = "".join(_fish_flag(flag) for flag in argument.flags)
    if not flags and not takes:
        return ""
    return f"complete -c tokenward {at}{flags}{takes} -d {_fish_quoted(argument.meaning)}\n"


def _fish_flag(flag: str) -> str:
    if flag.startswith("--"):
        return f" -l {flag.removeprefix('--')}"
    return " -a -" if flag == "-" else f" -s {flag.removeprefix('-')}"


def _fish_quoted(text: str) -> str:
    """Fish knows no escapes in single quotes but of the quote and the backslash."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
