"""From settings to the Kafka side: cluster, topic plan, registry, framing."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from bridge.config import Kafka, Settings
from bridge.entities import schemas
from bridge.entities.catalogue import CATALOGUE
from bridge.errors import ConfigurationError
from bridge.kafka.client import Cluster, security
from bridge.kafka.framing import Confluent, Framing, SingleObject
from bridge.kafka.names import TopicNames
from bridge.kafka.plan import Topic, wanted
from bridge.kafka.producer import Producer
from bridge.kafka.registry import Registry
from bridge.kafka.statelog import KeyFraming


def names(settings: Settings) -> TopicNames:
    """Topic names under the configured prefix."""
    return TopicNames(settings.prefix)


def cluster(settings: Settings) -> Cluster:
    """How to reach the cluster."""
    kafka = settings.kafka
    options = security(
        kafka.security_protocol,
        mechanism=kafka.sasl_mechanism,
        username=kafka.sasl_username,
        password=_open(kafka.sasl_password),
        token=_open(kafka.sasl_token),
        token_file=kafka.sasl_token_file,
        cafile=kafka.ssl_cafile,
        certfile=kafka.ssl_certfile,
        keyfile=kafka.ssl_keyfile,
        key_password=_open(kafka.ssl_password),
    )
    return Cluster(kafka.bootstrap_servers, options)


def plan(settings: Settings) -> list[Topic]:
    """The topics there must be."""
    return wanted(names(settings), settings.sharding.divisor, settings.kafka.max_record_bytes)


def producer(settings: Settings, where: Cluster, shard: int) -> Producer:
    """The producer of one shard, not yet started."""
    kafka: Kafka = settings.kafka
    exactly_once = kafka.delivery == "exactly_once"
    return Producer(
        where,
        shard,
        transactional_id=names(settings).transactional_id(settings.sharding.divisor, shard) if exactly_once else None,
        transaction_timeout_ms=kafka.transaction_timeout_ms,
        request_timeout_ms=kafka.request_timeout_ms,
        compression=None if kafka.compression == "none" else kafka.compression,
        timeout_s=kafka.transaction_timeout_ms / 1000,
    )


def registry(settings: Settings) -> Registry | None:
    """The registry's client, if one is configured; to be entered before use."""
    config = settings.registry
    if config.url is None:
        return None
    auth = (config.username, _open(config.password) or "") if config.username else None
    try:
        tls = ssl.create_default_context(cafile=str(config.ca_file)) if config.ca_file else None
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"cannot use registry.ca_file {config.ca_file}: {error}") from error
    return Registry(config.url, auth=auth, tls=tls, timeout_s=config.timeout_s)


def subjects(settings: Settings) -> dict[str, Mapping[str, Any]]:
    """Every schema that records of this configuration are written with, by registry subject."""
    topic = names(settings)
    found: dict[str, Mapping[str, Any]] = {}
    for name in CATALOGUE:
        found[f"{topic.entity(name)}-key"] = schemas.key_schema(name)
        found[f"{topic.entity(name)}-value"] = schemas.envelope_schema(name)
    for where, key, value in (
        (topic.state, "StateKey", "State"),
        (topic.events, "ShardKey", "Event"),
        (topic.dead_letter, "ShardKey", "DeadLetter"),
        (topic.unmapped, "TypeKey", "Unmapped"),
    ):
        found[f"{where}-key"] = schemas.control_schema(key)
        found[f"{where}-value"] = schemas.control_schema(value)
    return found


async def framing(settings: Settings) -> Framing:
    """Register all schemas and learn their ids, or frame without a registry.

    Raises:
        KafkaUnusable, KafkaUnavailable: the registry refuses or does not answer.
    """
    client = registry(settings)
    if client is None:
        return SingleObject()
    async with client:
        return Confluent(await client.register_all(subjects(settings)))


def key_framing(settings: Settings, frame: Framing) -> KeyFraming:
    """How the keys of the entity topics are framed, to be remembered in the state topic."""
    topic = names(settings)
    ids = {name: frame.schema_id(topic.entity(name), "key") for name in CATALOGUE}
    known = {name: number for name, number in ids.items() if number is not None}
    return KeyFraming(frame.name, known, settings.sharding.expression)


def _open(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
