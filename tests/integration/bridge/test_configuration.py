"""What cannot work is refused in one sentence that says what to do, with the exit code that the reason has."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import aiohttp
import orjson

from bridge.devkit.ports import free_ports
from bridge.devkit.registry import DevRegistry
from tests.integration.bridge.conftest import Make
from tests.integration.bridge.scene import Outcome, run_verb

WRONG = [
    ({"KAFKA__TOPIC_PREFX": "x"}, 2, "SYNCBRIDGE_KAFKA__TOPIC_PREFX; did you mean SYNCBRIDGE_KAFKA__TOPIC_PREFIX?"),
    ({"SHARDING__DIVISOR": "0"}, 2, "sharding.divisor: Input should be greater than or equal to 1"),
    ({"SHARDING__REMAINDERS": "[0,4]"}, 2, "remainders must lie in 0..3 for divisor 4, not [4]"),
    ({"SHARDING__DIVISOR": "41"}, 2, "41 shards need 41 sockets but source.max_sockets is 40"),
    ({"SOURCE__NAME": ""}, 2, "source.name is empty"),
    ({"SOURCE__REST_URL": "http://broker.example/v1"}, 2, "would send the token unencrypted"),
]


def refused(outcome: Outcome, status: int, part: str) -> None:
    """The exit code; and apart from log lines nothing but one sentence, with this part."""
    said = [line for line in outcome.err.splitlines() if not line.startswith("{")]
    assert (outcome.status, len(said)) == (status, 1), outcome.err
    assert said[0].startswith("syncbridge: ")
    assert part in said[0], said[0]


async def test_wrong_settings_are_refused() -> None:
    common = {"SOURCE__NAME": "acme", "HTTP__PORT": "0", "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    outcomes = await asyncio.gather(
        *(
            run_verb({**os.environ, **{f"SYNCBRIDGE_{k}": v for k, v in {**common, **wrong}.items()}}, "run")
            for wrong, _, _ in WRONG
        )
    )
    for outcome, (_, status, part) in zip(outcomes, WRONG, strict=True):
        refused(outcome, status, part)


async def test_an_unknown_key_in_a_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    """Values of a file have types of their own, and none of them is quoted."""
    file = tmp_path / "bridge.toml"
    file.write_text(
        "[source]\nname = 'acme'\nmax_sokets = 12\n[snapshot]\nquiet = 2.5\n[kafka]\ndeduplicat = true\n"
        "[sharding]\nremainder = [0, 1]\n[sauce]\npassword = 's3cret'\n",
        encoding="utf-8",
    )

    for verb in ("check", "run"):
        outcome = await run_verb(dict(os.environ), verb, "--config", str(file))
        refused(outcome, 2, "unknown configuration key source.max_sokets; did you mean source.max_sockets?")
        for wrong, right in (
            ("snapshot.quiet", "snapshot.quiet_s"),
            ("kafka.deduplicat", "kafka.deduplicate"),
            ("sharding.remainder", "sharding.remainders"),
            ("sauce", "source"),
        ):
            assert f"unknown configuration key {wrong}; did you mean {right}?" in outcome.err
        assert "s3cret" not in outcome.err


async def test_wrong_credentials_are_refused(scene: Make) -> None:
    made = await scene(simulator={"password": "another-password"}, topics=False)
    checked = await made.verb("check", pressure__spool_path=str(made.stage.folder / "nowhere"))
    assert checked.status == 3
    assert "BAD spool: pressure.spool_path: no file can be written in" in checked.out
    assert "BAD broker's API: the broker refuses the credentials of demo (demo): Incorrect username" in checked.out

    await made.create_topics()
    await made.options(bad_login="401")
    alone, several = await made.verb("run"), await made.verb("run", "--workers", "2")
    for outcome in (alone, several):
        refused(outcome, 3, "check source.name, source.password, source.cid and source.sec")
    assert several.err.count('"starting"') == 1, "no worker has begun, so none has tried for itself"


async def test_topics_that_are_missing_or_have_wrong_partitions_are_refused(scene: Make) -> None:
    made = await scene(topics=False)
    missing, planned = await asyncio.gather(made.verb("run"), made.verb("topics", "plan", "--json"))
    refused(missing, 4, "run `syncbridge topics apply`")
    assert (planned.status, len(planned.lines()[0]["differences"])) == (4, 66)

    applied = await made.verb("topics", "apply")
    assert applied.status == 0
    wrong = {"sharding__divisor": "3"}
    ran, again = await asyncio.gather(made.verb("run", **wrong), made.verb("topics", "apply", **wrong))
    refused(ran, 4, "2 partitions but sharding.divisor is 3")
    assert "set sharding.divisor to the partition count" in ran.err
    refused(again, 4, "choose another kafka.topic_prefix or set sharding.divisor to match")


async def test_registry_that_refuses_a_schema_or_is_away(scene: Make) -> None:
    made = await scene()
    port = free_ports(1)[0]
    away = made.start(registry__url=f"http://127.0.0.1:{port}")
    async with DevRegistry() as other:
        await occupy(other.url, f"{made.prefix}.order-value")
        refuses = {"registry__url": other.url}
        ran, checked = await asyncio.gather(made.verb("run", **refuses), made.verb("schemas", "check", **refuses))
        refused(ran, 4, f"refuses a schema as incompatible (/subjects/{made.prefix}.order-value/versions)")
        assert checked.status == 4
        assert checked.out.startswith(f"{made.prefix}.order-value: ")
    assert (await away.logged("kafka_unavailable"))[0]["doing"] == "register_schemas"
    assert (await away.answers("/livez"), await away.answers("/readyz")) == (200, 503)
    await made.step(10)
    async with DevRegistry(port=port):
        await away.ready()
        await away.drained()
        assert (await away.stop())[0] == 0


async def occupy(url: str, subject: str) -> None:
    """Register a schema that the bridge's own one cannot follow."""
    schema = '{"type":"record","name":"Envelope","namespace":"tradovate.order","fields":[{"name":"x","type":"long"}]}'
    async with aiohttp.ClientSession() as http:
        body = orjson.dumps({"schema": schema})
        async with http.post(f"{url}/subjects/{subject}/versions", data=body) as answer:
            assert answer.status == 200


async def test_misspelt_entity_type_is_told_with_the_nearest(scene: Make) -> None:
    made = await scene(settings={"source.entity_types": '["account","ordr"]'})
    bridge = await made.start().ready()
    (warning,) = bridge.log("unknown_entity_type")
    assert (warning["name"], warning["hint"]) == ("ordr", "did you mean order?")
