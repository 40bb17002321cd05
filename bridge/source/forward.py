"""Which messages of a frame are for the consumer, and in which form.

The rule looks at the message alone, so that a frame can be read a second time, later or exactly, and gives the same
messages.
"""

from __future__ import annotations

from typing import Any, Final

from bridge.entities.exact import exact_dumps
from bridge.errors import Unencodable
from bridge.source.frames import elements
from bridge.source.messages import Penalty, business_failure

AUTHORIZE_ID: Final = 0
"""The customary id of `authorize`; syncrequests get ids above it (protocol section 4)."""


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


def is_batch(message: dict[str, Any]) -> bool:
    """Say whether a `props` event holds arrays of entities that nobody updated or deleted.

    While a snapshot is arriving, that is how one of the conceivable servers sends the rest of it (protocol section
    8.1, variant B).
    """
    data = message.get("d")
    changes = data if isinstance(data, list) else [data]
    return bool(changes) and all(
        isinstance(change, dict)
        and isinstance(change.get("entity"), list)
        and change.get("eventType") in (None, "Created")
        for change in changes
    )


def as_snapshot(message: dict[str, Any], request_id: int) -> dict[str, Any]:
    """Write such an event as what it is: an answer to the syncrequest (protocol section 8.1, variant C)."""
    data = message["d"]
    changes = data if isinstance(data, list) else [data]
    parts = [{key: value for key, value in change.items() if key != "eventType"} for change in changes]
    return {"i": request_id, "s": 200, "d": parts}


def messages(raw: bytes, *, exact: bool = False) -> list[Any]:
    """Read an array frame: its messages that are for the consumer, in order.

    Args:
        raw: a frame as `Session` handed it on.
        exact: with integers of any size and nothing rounded.

    Raises:
        ValueError: the frame cannot be read; never for one that a session has handed on.
    """
    return [message for message in elements(raw, exact=exact) if carries_data(message)]


def written_as_snapshot(raw: bytes, request_id: int) -> bytes:
    """Write a frame again with its batches as answers to the syncrequest; every value stays exactly what it was.

    Raises:
        ValueError: it is nested too deeply to be written again.
    """
    anew = [
        as_snapshot(message, request_id) if is_props(message) and is_batch(message) else message
        for message in messages(raw, exact=True)
    ]
    try:
        return b"a" + exact_dumps(anew).encode()
    except Unencodable as error:
        raise ValueError(str(error)) from error


def is_props(message: Any) -> bool:
    """Say whether a message is an event about entities."""
    return isinstance(message, dict) and message.get("e") == "props"
