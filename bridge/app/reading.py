"""How frames are read: joins the wire's rows (`source`) to what the reconciler takes (`changes`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.changes.reconciler import Row
from bridge.entities.change import Unmapped
from bridge.shard.reader import Reader, Reading
from bridge.source import forward
from bridge.source.rows import Rows, rows


def _messages(raw: bytes, exact: bool) -> list[Any]:
    return forward.messages(raw, exact=exact)


def read_rows(messages: list[Any]) -> Reading:
    """All rows of a frame's messages, in order, and what is not understood; hot.

    Nearly every message is one `props` event with one entity, so that form is taken apart here; every other form is
    `source.rows`' business.
    """
    known: list[Row] = []
    unknown: list[Unmapped] = []
    for message in messages:
        try:
            data = message["d"]
            entity = data["entity"]
            if message["e"] == "props" and type(entity) is dict:
                entity_type, event_type = data["entityType"], data["eventType"]
                if type(entity_type) is str and type(event_type) is str:
                    known.append((entity_type, event_type, [entity], None, False))
                    continue
        except (KeyError, TypeError):
            pass  # some other form: below
        read_any(message, known, unknown)
    return known, unknown


def read_any(message: Any, known: list[Row], unknown: list[Unmapped]) -> None:
    """Append the rows of a message of any form."""
    for part in rows(message):
        if isinstance(part, Rows):
            known.append(part)
        else:
            in_list = part.reason == "list"
            unknown.append(Unmapped(part.name or part.reason, None, part.name if in_list else None, in_list, part.raw))


def read_events(raw: bytes) -> tuple[bool, list[Any] | None]:
    """Whether a frame holds nothing but events, and its messages then; hot."""
    messages = forward.events(raw)
    return messages is not None, messages


def frame_reader(
    read: Callable[[list[Any]], Reading] = read_rows,
    events: Callable[[bytes], tuple[bool, list[Any] | None]] = read_events,
) -> Reader:
    """The reader of the broker's frames, in Python or compiled.

    Args:
        read: messages to rows.
        events: see `Reader`.
    """
    return Reader(messages=_messages, events=events, rows=read)
