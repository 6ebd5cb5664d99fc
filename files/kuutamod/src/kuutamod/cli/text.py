# SPDX-License-Identifier: Apache-2.0
"""Text for a terminal: whatever stands in Consul, no control character gets out, and its width is known. Pure."""

from __future__ import annotations

import enum
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STRANGE = "?"
"""Stands for a character that is not shown."""

MOST = 600
"""Characters of one text that are looked at; nobody reads more of them in a table."""

RESET = "\x1b[0m"


class Style(enum.Enum):
    """How a text is shown where there are colours; the value is the parameter of the escape sequence."""

    PLAIN = ""
    BOLD = "1"
    DIM = "2"
    RED = "31"
    GREEN = "32"
    YELLOW = "33"
    CYAN = "36"
    ALARM = "1;31"


@dataclass(frozen=True)
class Span:
    """A text in one style."""

    text: str
    style: Style = Style.PLAIN


def visible(text: str) -> str:
    """``text`` with a sign in place of each character that would move the cursor or be invisible."""
    return "".join(char if char.isprintable() else STRANGE for char in text)


def clean(text: str) -> str:
    """``text`` on one line, visible, and of a width that is known."""
    flat = " ".join(unicodedata.normalize("NFC", text[:MOST]).split())
    # The variation selectors decide whether some signs take one column or two.
    return visible(flat.translate({0xFE0E: None, 0xFE0F: None}))


def counted(count: int, what: str) -> str:
    """``1 server``, ``2 servers``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def width_of(text: str) -> int:
    """Columns of a terminal that a clean text takes."""
    return sum(map(_columns, text))


def _columns(char: str) -> int:
    if char.isascii():
        return 1
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def shorten(text: str, width: int) -> str:
    """A clean text in at most ``width`` columns; an ellipsis stands for what is cut off."""
    if width_of(text) <= width:
        return text
    kept, left = "", max(0, width - 1)
    for char in text:
        left -= _columns(char)
        if left < 0:
            break
        kept += char
    return kept + "\u2026" if width > 0 else ""


def pad(text: str, width: int, right: bool = False) -> str:
    """A clean text in exactly ``width`` columns."""
    short = shorten(text, width)
    blanks = " " * (width - width_of(short))
    return blanks + short if right else short + blanks


def flow(spans: Iterable[Span], width: int, indent: int = 0) -> list[tuple[Span, ...]]:
    """Lines of at most ``width`` columns with the spans one after the other, blanks between them.

    A span stays in one piece where it fits into a line; the lines after the first are indented. What is longer than a
    line is broken between its words, and a word that is longer than a line is shortened.
    """
    lines: list[list[Span]] = []
    left = 0
    for piece in _pieces(spans, width - indent):
        needed = width_of(piece.text)
        if lines and needed < left:
            _join(lines[-1], piece)
            left -= needed + 1
            continue
        margin = [Span(" " * indent)] if lines and indent else []
        lines.append([*margin, piece])
        left = width - needed - (indent if margin else 0)
    return [tuple(line) for line in lines]


def _join(line: list[Span], piece: Span) -> None:
    """Put a piece at the end of a line, behind a blank."""
    if line[-1].style is piece.style:
        line[-1] = Span(f"{line[-1].text} {piece.text}", piece.style)
    else:
        line += [Span(" "), piece]


def _pieces(spans: Iterable[Span], width: int) -> Iterable[Span]:
    for span in spans:
        text = clean(span.text)
        parts = [text] if width_of(text) <= width else text.split()
        yield from (Span(shorten(part, width), span.style) for part in parts if part)


def paint(spans: Sequence[Span], colour: bool) -> str:
    """The spans as one string, with escape sequences only where ``colour`` is wanted."""
    return "".join(
        f"\x1b[{span.style.value}m{span.text}{RESET}" if colour and span.style.value else span.text for span in spans
    )


_ASCII = str.maketrans("\u256d\u256e\u2570\u256f\u251c\u2524\u2500\u2502\u2026", "++++++-|~")


def encodable(text: str, encoding: str) -> str:
    """``text`` as an output of this encoding can show it: frames become plain signs, what else is unknown ``?``."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text
