from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from bridge.operate.collector import ShardCollector, SourceView


def test_waits_for_the_broker_are_those_of_the_whole_process() -> None:
    registry = CollectorRegistry(auto_describe=False)
    source = SourceView(lambda: {"connect": 1.5, "login": 0.0}, lambda: 290.0)
    registry.register(ShardCollector([], list, source, lambda: 0))

    lines = generate_latest(registry).decode().splitlines()

    assert [line for line in lines if line.startswith("syncbridge_source_")] == [
        'syncbridge_source_wait_seconds_total{limit="connect"} 1.5',
        'syncbridge_source_wait_seconds_total{limit="login"} 0.0',
        "syncbridge_source_hold_seconds 290.0",
    ]
