"""Dead letters are tried again after a fix, in order, and never in place of what is newer."""

from __future__ import annotations

import json
from typing import Any

from bridge.entities import schemas
from bridge.kafka.decode import RecordDecoder
from tests.integration.bridge.conftest import Make
from tests.integration.bridge.scene import Bridge, Outcome, Scene
from tests.integration.bridge.test_bad_data import event, inject
from tests.integration.reading import read_topics

TYPE = "chatMessage"
DECODER = RecordDecoder([schemas.envelope_schema(TYPE), schemas.key_schema(TYPE)], None)
SMALL, LARGE = "65536", "921600"
SECOND, NEWER, OLDER, GONE, BAD = 1, 2, 3, 4, 5
"""Keys: of two letters, with a newer content, with an older content, deleted since, of a letter without a good id."""


async def say(made: Scene, number: Any, text: str, *, long: bool = False, kind: str = "Updated") -> None:
    """One message; a long one does not fit the smaller limit."""
    await inject(made, event(TYPE, json.dumps({"id": number, "text": text + "x" * 100_000 * long}), kind))


async def retry(made: Scene, bridge: Bridge, *arguments: str) -> list[tuple[Any, ...]]:
    outcome = await verb(made, "retry", "--url", bridge.url, "--json", *arguments)
    return [(x["entity_id"], x["outcome"]) for x in outcome.lines()]


async def verb(made: Scene, *arguments: str) -> Outcome:
    outcome = await made.verb("dead-letter", *arguments)
    assert outcome.status == 0, outcome.err
    return outcome


async def published(made: Scene) -> list[tuple[Any, ...]]:
    """Id, op, snapshot and the beginning of the text of every record."""
    found = []
    for record in await read_topics(made.bootstrap, f"{made.prefix}.{TYPE}"):
        key, value = await DECODER.decode(record.key), await DECODER.decode(record.value)
        if value is not None:
            text = value["after"]["text"][:10] if value["after"] else ""
            found.append((key["id"], value["op"], value["source"]["snapshot"], text))
    return found


async def test_letters_are_tried_again_in_order_and_never_replace_what_is_newer(scene: Make) -> None:
    made = await scene()
    first = await made.start(kafka__max_record_bytes=SMALL).ready()
    await say(made, OLDER, "old")
    await say(made, GONE, "old")
    await say(made, SECOND, "letter 1 ", long=True)
    await say(made, OLDER, "letter 2 ", long=True)
    await say(made, NEWER, "letter 3 ", long=True)
    await say(made, SECOND, "letter 4 ", long=True)
    await say(made, GONE, "letter 5 ", long=True)
    await say(made, str(BAD), "letter 6 ")
    await say(made, NEWER, "new")
    await say(made, GONE, "", kind="Deleted")
    await first.drained()
    listed = (await verb(made, "list", "--json")).lines()
    bad, *large = sorted(listed, key=lambda x: x["reason"] == "too_large")
    assert (bad["reason"], bad["entity_id"], bad["shard"], bad["event_type"]) == ("id_not_int64", None, 0, "Updated")
    assert [x["entity_id"] for x in large] == [SECOND, OLDER, NEWER, SECOND, GONE]
    assert [x["frame"] for x in large] == sorted({x["frame"] for x in large})
    before = await published(made)

    # Without a fix nothing is published, and no letter is written twice.
    assert await retry(made, first, "--reason", "too_large", "--limit", "2") == [
        (SECOND, "unencodable"),
        (OLDER, "unencodable"),
    ]
    assert await published(made) == before
    assert len(await read_topics(made.bootstrap, f"{made.prefix}.bridge.dead-letter")) == 6
    assert (await first.stop())[0] == 0

    second = await made.start(kafka__max_record_bytes=LARGE).ready()
    assert await retry(made, second) == [
        (SECOND, "published"),
        (OLDER, "published"),
        (NEWER, "superseded"),
        (SECOND, "published"),
        (GONE, "superseded"),
        (None, "unencodable"),
    ]
    late = [
        (SECOND, "c", "retry", "letter 1 x"),
        (OLDER, "u", "retry", "letter 2 x"),
        (SECOND, "u", "retry", "letter 4 x"),
    ]
    assert await published(made) == [*before, *late]
    said = (await second.get("/metrics"))[1]
    assert 'syncbridge_dead_letters_retried_total{outcome="published",shard="0"} 3.0' in said
    assert {x["outcome"] for x in second.log("dead_letter_retried")} == {"published", "unencodable"}

    # What came after it was published stays; a second try changes nothing.
    await say(made, SECOND, "newest")
    await second.drained()
    assert {word for _, word in await retry(made, second, "--type", TYPE)} == {"superseded", "unencodable"}
    assert await published(made) == [*before, *late, (SECOND, "u", "false", "newest")]
    assert (await second.stop())[0] == 0
