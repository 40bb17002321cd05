"""`syncbridge dead-letter`: what could not become a record, and another try when what kept it from that is mended.

The letters are read from Kafka, with a consumer's permissions. The running bridge is asked over HTTP to publish them:
it alone may write, and it alone knows what is published now. In between the topics are looked through for what has
happened to a letter's key since; if the key changes after that look, the bridge notices by its content.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bridge.app import cluster as parts
from bridge.cli.asking import Asking, UrlOption, asking
from bridge.cli.common import ConfigOption, execute, settings
from bridge.cli.reading import decoding
from bridge.config import Settings
from bridge.errors import ConfigurationError
from bridge.kafka.follow import follow
from bridge.kafka.letters import DeadLetter, Joiner, Later
from bridge.kafka.plan import replayable_ms

CLOCKS_MS = 60_000
"""So far the clocks of Kafka's nodes may be apart."""
app = typer.Typer(help="What could not become a record.", no_args_is_help=True)

ShardOption = Annotated[int | None, typer.Option(help="Only of this shard.")]
ReasonOption = Annotated[str | None, typer.Option(help="Only for this reason.")]
TypeOption = Annotated[str | None, typer.Option("--type", help="Only of this entity type.")]
FromOption = Annotated[
    str | None, typer.Option("--from", help="Only those written since, like 2026-11-21 or 2026-11-21T09:30 (UTC).")
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Only so many, the oldest ones.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters are wanted; None means any."""

    shard: int | None
    reason: str | None
    entity_type: str | None
    since_ms: int | None
    limit: int | None

    def __call__(self, letter: DeadLetter) -> bool:
        """Whether this one is."""
        return (
            self.shard in (None, letter.shard)
            and self.reason in (None, letter.reason)
            and self.entity_type in (None, letter.entity_type)
        )


@app.command(name="list")
def list_(
    config: ConfigOption = None,
    shard: ShardOption = None,
    reason: ReasonOption = None,
    entity_type: TypeOption = None,
    since: FromOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
    raw: Annotated[bool, typer.Option("--raw", help="With the raw content; JSON only.")] = False,
) -> None:
    """Show them, shard by shard in order."""
    chosen = Choice(shard, reason, entity_type, _moment(since), limit)
    letters = execute(_read(settings(config), chosen))
    if as_json:
        for letter in letters:
            content = {"raw": letter.raw.decode("utf-8", "backslashreplace")} if raw else {}
            typer.echo(json.dumps(_shown(letter) | content))
        return
    table = Table("shard", "offset", "written", "reason", "type", "id", "event", "bytes", "epoch.seq", "frame")
    for letter in letters:
        epoch, seq, frame = letter.position
        name, number, event = letter.entity_type or "", str(letter.entity_id or ""), letter.event_type or ""
        where = (str(letter.shard), str(letter.offset), _stamp(letter.written_ms), letter.reason)
        table.add_row(*where, name, number, event, str(letter.length), f"{epoch}.{seq}", str(frame))
    Console().print(table) if letters else typer.echo("there are none")


@app.command()
def retry(
    config: ConfigOption = None,
    url: UrlOption = None,
    shard: ShardOption = None,
    reason: ReasonOption = None,
    entity_type: TypeOption = None,
    since: FromOption = None,
    limit: LimitOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also old ones of keys that are not published: were they deleted since?")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Have them encoded once more by the running bridge and published, in order, unless their key has changed since."""
    chosen = Choice(shard, reason, entity_type, _moment(since), limit)
    counts: Counter[str] = Counter()
    for letter, outcome, detail in execute(_retry(settings(config), url, chosen, force=force)):
        counts[outcome] += 1
        if as_json:
            typer.echo(json.dumps({**_shown(letter), "outcome": outcome, "outcome_detail": detail}))
        else:
            what = f"{letter.entity_type} {letter.entity_id}" if letter.key else letter.entity_type or "no entity"
            because = f" ({detail})" if detail else ""
            typer.echo(f"shard {letter.shard} offset {letter.offset}: {what} {outcome}{because}")
    if not as_json:
        typer.echo(", ".join(f"{count} {word}" for word, count in sorted(counts.items())) or "there are none")


async def _retry(
    loaded: Settings, url: str | None, chosen: Choice, *, force: bool
) -> list[tuple[DeadLetter, str, str]]:
    letters = await _read(loaded, chosen)
    async with asking(loaded, url) as bridge:
        here = {view["shard"] for view in (await bridge.ask("GET", "status"))["shards"]}
        ready = [letter for letter in letters if letter.retryable and letter.shard in here]
        contents = await _contents(bridge, ready)
        later = await _later(loaded, ready)
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        found = []
        for letter in letters:
            if letter.shard not in here:
                outcome = "elsewhere", "the bridge that was asked does not run this shard"
            elif not letter.retryable:
                outcome = "left", "it is no whole entity of a known type, or a Deleted"
            elif later.supersedes(letter):
                outcome = "superseded", "the key has changed since"
            elif contents.get(letter.key) is None and not force and _old(letter, now_ms):
                outcome = "too_old", "whether the key was deleted since cannot be known any more; --force if it was not"
            else:
                answer = await bridge.ask("POST", "dead-letters/retry", raw=letter.raw, query=_query(letter, contents))
                if letter.key is not None and answer["outcome"] in ("published", "unchanged"):
                    contents[letter.key] = answer["content"]  # the next letter of the key follows this one
                outcome = answer["outcome"], answer["detail"]
            found.append((letter, *outcome))
        return found


async def _contents(bridge: Asking, letters: Collection[DeadLetter]) -> dict[Any, str | None]:
    """Hashes of what the letters' keys hold now, by key; asked for before the topics are looked through."""
    found: dict[Any, str | None] = {}
    for shard in {letter.shard for letter in letters}:
        keys = list(dict.fromkeys(each.key for each in letters if each.shard == shard and each.key is not None))
        body = {"shard": shard, "keys": [key[1:] for key in keys]}
        answer = await bridge.ask("POST", "dead-letters/contents", body=body)
        found |= dict(zip(keys, answer["contents"], strict=True))
    return found


def _query(letter: DeadLetter, contents: dict[Any, str | None]) -> dict[str, str]:
    query = {
        "shard": str(letter.shard),
        "entity_type": str(letter.entity_type),
        "received_us": str(letter.received_us),
    }
    newer_than = contents.get(letter.key)
    return query if newer_than is None else {**query, "newer_than": newer_than}


async def _later(loaded: Settings, letters: Sequence[DeadLetter]) -> Later:
    """What has happened to the letters' keys since the first of them."""
    later = Later({letter.key for letter in letters if letter.key is not None})
    types = sorted({letter.entity_type for letter in letters if letter.entity_type is not None})
    if not types:
        return later
    names = parts.names(loaded)
    topics = {names.entity(name): name for name in types}
    since_ms = min(letter.written_ms for letter in letters) - CLOCKS_MS
    async with decoding(loaded, types) as decoder:
        async for record in follow(
            parts.cluster(loaded), list(topics), from_beginning=False, until_end=True, since_ms=since_ms
        ):
            key = (record.partition, topics[record.topic], (await decoder.decode(record.key))["id"])
            if later.wants(key):
                later.note(key, record.timestamp, await decoder.decode(record.value))
    return later


async def _read(loaded: Settings, chosen: Choice) -> list[DeadLetter]:
    """The letters that are wanted, shard by shard in order."""
    found = [letter async for letter in _letters(loaded, chosen.since_ms) if chosen(letter)]
    found.sort(key=lambda letter: (letter.shard, letter.offset))
    return found[: chosen.limit]


async def _letters(loaded: Settings, since_ms: int | None) -> AsyncIterator[DeadLetter]:
    joiner, topic = Joiner(), parts.names(loaded).dead_letter
    async with decoding(loaded, ()) as decoder:
        async for record in follow(
            parts.cluster(loaded), [topic], from_beginning=since_ms is None, until_end=True, since_ms=since_ms
        ):
            value = await decoder.decode(record.value)
            for letter in joiner.add(record.partition, record.offset, record.timestamp, value):
                yield letter


def _old(letter: DeadLetter, now_ms: int) -> bool:
    return letter.written_ms < now_ms - replayable_ms(str(letter.entity_type))


def _shown(letter: DeadLetter) -> dict[str, Any]:
    epoch, seq, frame = letter.position
    return {
        "shard": letter.shard,
        "offset": letter.offset,
        "written": _stamp(letter.written_ms),
        "reason": letter.reason,
        "detail": letter.detail,
        "entity_type": letter.entity_type,
        "entity_id": letter.entity_id,
        "event_type": letter.event_type,
        "length": letter.length,
        "sha256": letter.sha256,
        "epoch": epoch,
        "seq": seq,
        "frame": frame,
    }


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"--from {text}: {error}; give a time like 2026-11-21T09:30") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _stamp(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
