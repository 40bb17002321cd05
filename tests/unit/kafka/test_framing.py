from __future__ import annotations

import io

import fastavro
import pytest

from bridge.entities import schemas
from bridge.kafka.framing import Confluent, SingleObject


def test_single_object_encoding_is_that_of_the_avro_specification() -> None:
    schema = schemas.key_schema("order")
    out = io.BytesIO()
    # fastavro's own parsing canonical form and fingerprint are what a foreign reader would use.
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(schema)), {"id": 5})
    prefix = SingleObject().prefix("any", "key", schema)
    assert prefix[:2] == b"\xc3\x01"
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    assert prefix[2:].hex() == fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")
    assert len(prefix) == 10
    assert SingleObject().schema_id("any", "key") is None
    assert SingleObject().name == "single-object"


def test_confluent_framing_is_a_zero_and_the_id_of_the_subject() -> None:
    framing = Confluent({"p.order-key": 1, "p.order-value": 0x01020304})
    assert framing.prefix("p.order", "value", {}) == b"\x00\x01\x02\x03\x04"
    assert framing.prefix("p.order", "key", {}) == b"\x00\x00\x00\x00\x01"
    assert (framing.schema_id("p.order", "key"), framing.name) == (1, "registry")


def test_subject_without_id_is_an_error_of_ours() -> None:
    with pytest.raises(KeyError):
        Confluent({}).prefix("p.order", "key", {})
