"""Writes `docs/tui.md` from the tables of actions and filters, so that the page cannot say what the screens do not do.

python -m agentmem_tui.reference            writes docs/tui.md below the current folder
python -m agentmem_tui.reference --check    exits with 1 when that file is stale
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from agentmem.filters import KEYS
from agentmem_apps.cli.reference import settle
from agentmem_tui.actions import GROUPS

__all__ = ["page"]

_BEGIN: Final = """\
`agentmem tui [PATH]` shows what is remembered, and lets you put it right by hand.

On the left stand the scopes and what is in them, with the pinned and the trash; in the middle the list; on the right
the memory that is pointed at. On a terminal of less than 120 columns the left one makes room, of less than 80 the
right one too; enter and `H` show the memory by itself. Nothing is told by colour alone, `NO_COLOR` is heeded, and every
key can be yours.

**Every step can be taken back**: `z` says whose step it is and what it did before it takes it back, yours, an agent's
and an import's alike, and `Z` brings it back. `J` shows all steps, and goes back to before any of them.

**While an agent runs**: what it writes appears within half a second, with the cursor and the selection where they were.
When it changes the memory that you are writing, a line says so, and saving puts theirs, what it was, and yours side by
side, to choose from field by field. Nothing of either is lost: `H` has every version.

**What a model sees**: `1` shows the slots of working memory with their tokens, age, strength and why each is there, and
what the next call of the conversation would hold, part by part. `tab` shows what would be quoted for a question that
you type, and what would be left out and why. Looking writes nothing.

**As it is written**: `5` shows each change as a line. While the hold is on (`A`), what others than you write gets the
tag `review` as it is seen, half a second after it is written, and no context quotes it until you approve it (`y`). The
hold ends with the view; what waits then goes on waiting, and `agentmem review` lists it.

**Health**: `!` shows what `agentmem doctor` finds, and repairs what can be made again; the jobs that wait or were given
up; and what asking models took today.

**In a browser**: `agentmem tui --web`, with the extra `web`. It has no password, so it listens on this machine alone,
and answers its own page and no other one that is open in the same browser."""

_FILTERS: Final = """\
`/` narrows the list as you type. Each word, and each phrase in quotation marks, must stand in the text, whatever the
case of its letters; these narrow it further. `enter` looks for what is meant by the words instead of the words."""

_SIGNS: Final = {
    "question_mark": "?",
    "exclamation_mark": "!",
    "slash": "/",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "asterisk": "*",
    "less_than_sign": "<",
    "greater_than_sign": ">",
}
_OWN: Final = """\
```toml
# agentmem.toml, or the user's config.toml
[tui]
theme = "textual-light"
[tui.keys]
forget = "d,delete"
```"""


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([*_lines()]) + "\n"


def _lines() -> Iterator[str]:
    yield "<!-- Written by `python -m agentmem_tui.reference`; edit the table of actions, not this page. -->"
    yield from ("# The screens", "", _BEGIN, "", "## To find", "", _FILTERS, "", "| typed | narrows to |", "|---|---|")
    for key, (meaning, _) in KEYS.items():
        yield f"| `{key}:` | {meaning} |"
    yield from ("", "## Keys", "", "Each can be another, by its name:", "", _OWN)
    for group, actions in GROUPS.items():
        yield from ("", f"### {group}", "", "| name | keys | what it does |", "|---|---|---|")
        for action in actions:
            keys = " ".join(f"`{_shown(key)}`" for key in action.keys)
            yield f"| `{action.id}` | {keys} | {action.help} |"


def _shown(key: str) -> str:
    return _SIGNS.get(key, key)


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=Path("docs/tui.md"))
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 when the file is stale.")
def main(path: Path, check: bool) -> None:
    """Write the reference of the screens to PATH."""
    settle(path, page(), check=check, by="agentmem_tui.reference")


if __name__ == "__main__":
    main()
