"""What can be done in the screens: one table, from which keys, footer, palette, help and `docs/tui.md` are made.

An action that changes a memory has the name of the verb and of the command that do the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from textual.binding import Binding, BindingType

__all__ = ["ACTIONS", "GROUPS", "Action", "bindings"]


class Action(NamedTuple):
    """`id` is what a keymap names it by; `keys` are Textual's names of keys, the first one shown."""

    id: str
    title: str
    help: str
    keys: tuple[str, ...]

    @property
    def method(self) -> str:
        """The screen's or widget's method, without `action_`."""
        return self.id.replace("-", "_")


GROUPS: Final[dict[str, tuple[Action, ...]]] = {
    "Everywhere": (
        Action("help", "Help", "Show what can be done here, and by which key.", ("question_mark", "f1")),
        Action("back", "Back", "Leave this screen.", ("q", "escape")),
        Action("leave", "Leave", "Leave the program, from home.", ("q",)),
        Action("undo", "Undo", "Take back the last step, whoever made it, after saying which.", ("z",)),
        Action("redo", "Redo", "Take back the last undo.", ("Z", "ctrl+z")),
        Action("journal", "Journal", "Show every change, and go back to any.", ("J",)),
        Action("places", "Places", "Show where things happened, on a map.", ("2",)),
        Action("chunks", "Chunks", "Show what was lived, chunk by chunk, with summaries.", ("3",)),
        Action("thoughts", "Thoughts", "Show what is known of whom, link by link.", ("4",)),
    ),
    "Look": (
        Action("find", "Find", "Narrow the list as you type; enter looks for the meaning.", ("slash",)),
        Action("save-search", "Save search", "Keep what is typed as a place in the tree, by a name.", ("S",)),
        Action("open", "Open", "Show the memory by itself.", ("enter",)),
        Action("history", "History", "Show the versions of the memory, and bring one back.", ("H",)),
        Action("why", "Why", "Show why memories are recalled, and why others are not.", ("w",)),
        Action("origin", "Where from", "Show what it was made from, and what was made from it.", ("o",)),
        Action("select", "Select", "Select the memory, or leave it out again.", ("v",)),
        Action("range", "Range", "Select from the last selected to here.", ("V",)),
        Action("invert", "Invert", "Select all that are not, of the whole list.", ("asterisk",)),
        Action("clear", "Clear", "Select none; or show all again.", ("escape",)),
    ),
    "Move": (
        Action("up", "Up", "To the row above.", ("up", "k")),
        Action("down", "Down", "To the row below.", ("down", "j")),
        Action("page-up", "Page up", "A page up.", ("pageup",)),
        Action("page-down", "Page down", "A page down.", ("pagedown",)),
        Action("first", "First", "To the first row.", ("home", "g")),
        Action("last", "Last", "To the last row.", ("end", "G")),
    ),
    "Why recalled": (
        Action("ask", "Ask", "Ask something else.", ("slash",)),
        Action("heavier", "Heavier", "Let the part count for more: a trial of the order.", ("right", "l")),
        Action("lighter", "Lighter", "Let it count for less.", ("left", "h")),
        Action("even", "Even", "Let all parts count as they do.", ("0",)),
        Action("useful", "Useful", "Say that it helps with what was asked.", ("plus",)),
        Action("of-no-use", "Of no use", "Say that it does not.", ("minus",)),
    ),
    "Where from": (
        Action("unfold", "Unfold", "Open what is inside.", ("right", "l")),
        Action("fold", "Fold", "Close it.", ("left", "h")),
        Action("centre", "Its own", "Show where that one is from.", ("enter",)),
        Action("previous", "Previous", "To the one before.", ("backspace",)),
    ),
    "Places": (
        Action("left", "Left", "To the place at the left; in a replay, a visit back.", ("left",)),
        Action("right", "Right", "To the place at the right; in a replay, a visit on.", ("right",)),
        Action("above", "Above", "To the place above.", ("up",)),
        Action("below", "Below", "To the place below.", ("down",)),
        Action("episodes", "Episodes", "List what happened there, in the order of time.", ("enter",)),
        Action("replay", "Replay", "Go through the visits, one by one; again, leave that.", ("tab",)),
        Action("visit-back", "Earlier", "In a replay, a visit back.", ("left_square_bracket",)),
        Action("visit-on", "Later", "In a replay, a visit on.", ("right_square_bracket",)),
    ),
    "Chunks": (
        Action("source", "Source", "Show the turns that it is made of beside it, or hide them.", ("space",)),
        Action("summarise", "Summarise", "Summarise this branch anew, once its cost is agreed to.", ("r",)),
    ),
    "Thoughts": (
        Action("go-to", "Go to", "Put what the link leads to in the middle; show a thought's history.", ("enter",)),
        Action("middle", "Centre", "Put the thought itself in the middle.", ("c",)),
        Action("return", "Return", "Back to what was in the middle before.", ("backspace",)),
        Action("path", "Path", "Find a way from one to another.", ("g",)),
        Action("choose", "Choose", "Look for another by words.", ("slash",)),
        Action("column-left", "Column left", "To the column at the left.", ("left",)),
        Action("column-right", "Column right", "To the column at the right.", ("right",)),
    ),
    "Put right": (
        Action("add", "New", "Remember something new.", ("n",)),
        Action("edit", "Edit", "Change its words, or what is known of it; of all that are selected at once.", ("e",)),
        Action("pin", "Pin", "Keep it from fading, or let it go.", ("p",)),
        Action("tag", "Tag", "Give it tags, or take some away.", ("t",)),
        Action("merge", "Merge", "Make one memory of those selected.", ("M",)),
        Action("split", "Split", "Make several memories of one.", ("X",)),
        Action("forget", "Forget", "Put it in the trash.", ("d",)),
        Action("erase", "Erase", "Erase its words for good, with all that holds them; asks for their number.", ("D",)),
        Action("restore", "Restore", "Bring it back: out of the trash, or as an earlier version.", ("R",)),
    ),
    "Hand out": (Action("export", "Export", "Write the selected to a file: JSONL, or Markdown by its name.", ("E",)),),
    "Write": (
        Action("save", "Save", "Keep what was written.", ("ctrl+s",)),
        Action("editor", "$EDITOR", "Write the text in your own editor.", ("ctrl+e",)),
        Action("cancel", "Cancel", "Leave it as it was; asks when something was changed.", ("escape",)),
    ),
    "Slots": (
        Action("slots", "Slots", "Show what is in mind, and what the next call would hold.", ("1",)),
        Action("mode", "Held / next", "What is held now, or what would be packed for a question.", ("tab",)),
        Action("evict", "Evict", "Take it out of mind; it stays in the memory.", ("x",)),
        Action("earlier", "Earlier", "Put it before the one above.", ("shift+up", "less_than_sign")),
        Action("later", "Later", "Put it after the one below.", ("shift+down", "greater_than_sign")),
    ),
    "Live": (
        Action("live", "Live", "Show the changes as they are made.", ("5",)),
        Action("tail", "Follow", "Go with what is new, after it was scrolled up.", ("f",)),
        Action("whose", "Whose", "All changes, or those of one actor: each in turn.", ("w",)),
        Action("which", "Which", "All changes, those that wait, or those of one verb: each in turn.", ("v",)),
        Action("hold", "Hold", "What others write waits until you approve it; or does not any more.", ("A",)),
        Action("approve", "Approve", "Let what waits into contexts.", ("y",)),
    ),
    "Health": (
        Action("health", "Health", "Show what is wrong with the memory, and what waits.", ("exclamation_mark",)),
        Action("fix", "Fix", "Repair what is made from the memories, after a question.", ("f",)),
        Action("retry", "Retry", "Let a job that was given up be tried again.", ("r",)),
        Action("examine", "Look again", "Examine the memory anew.", ("a",)),
    ),
    "Neural": (Action("neural", "Neural", "Show memories that are trained.", ("6",)),),
}
ACTIONS: Final[dict[str, Action]] = {action.id: action for group in GROUPS.values() for action in group}


def bindings(ids: Iterable[str], *, shown: Iterable[str] = (), priority: bool = False) -> list[BindingType]:
    """The keys of these actions; those `shown` stand in the footer."""
    told = set(shown)
    return [
        Binding(
            ",".join(action.keys),
            action.method,
            action.title,
            show=action.id in told,
            tooltip=action.help,
            id=action.id,
            priority=priority,
        )
        for action in (ACTIONS[id] for id in ids)
    ]
