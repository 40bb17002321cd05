"""Which messages of a frame are for the consumer, and in which form.

The rule looks at the message alone, so that a frame can be read a second time, later or exactly, and gives the same
messages.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from bridge.source.frames import elements
from bridge.source.messages import Penalty, business_failure

AUTHORIZE_ID: Final = 0
"""The customary id of `authorize`; syncrequests get ids above it (protocol section 4)."""


_read = orjson.loads


def carries_data(message: Any) -> bool:
    """Say whether a message is for the consumer: events but `shutdown`, good answers with data, all that is unknown."""
    if not isinstance(message, dict):
        return message is not None
    if "e" in message:
        return bool(message["e"] != "shutdown")
    if "i" not in message and "s" not in message:
        return True
    if message.get("s") != 200 or message.get("i") == AUTHORIZE_ID:
        return False
    data = message.get("d")
    return data is not None and Penalty.of(data) is None and business_failure(data) is None


def messages(raw: bytes, *, exact: bool = False) -> list[Any]:
    """Read an array frame: its messages that are for the consumer, in order.

    Args:
        raw: a frame as `Session` handed it on.
        exact: with integers of any size and nothing rounded.

    Raises:
        ValueError: the frame cannot be read; never for one that a session has handed on.
    """
    return [message for message in elements(raw, exact=exact) if carries_data(message)]


def events(raw: bytes) -> list[Any] | None:
    """The messages of an array frame that holds nothing but `props` events, and something; None for every other; hot.

    Nearly all frames are such, so this costs nothing but the parsing and one look at each message.
    """
    if raw[:2] != b"a[":
        return None
    try:
        found: list[Any] = _read(raw[1:])
        for message in found:
            if message.get("e") != "props":
                return None
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return found or None


def is_props(message: Any) -> bool:
    """Say whether a message is an event about entities."""
    return isinstance(message, dict) and message.get("e") == "props"
