"""What the producer relies on inside aiokafka, so that another version of it cannot change that unnoticed."""

from __future__ import annotations

import inspect

from aiokafka.producer.sender import Sender
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from bridge.kafka import packing


async def test_the_owner_of_a_producer_id_is_known_to_the_transaction_manager() -> None:
    owner = TransactionManager("id", 1000)
    owner.set_pid_and_epoch(7, 3)
    assert (owner.producer_id, owner.producer_epoch) == (7, 3)


def test_the_sender_finds_coordinators_and_forgets_them() -> None:
    assert list(inspect.signature(Sender._find_coordinator).parameters) == [
        "self",
        "coordinator_type",
        "coordinator_key",
    ]
    assert list(inspect.signature(Sender._coordinator_dead).parameters) == ["self", "coordinator_type"]


def test_a_produce_request_takes_batches_by_topic_and_partition() -> None:
    names = ["self", "transactional_id", "required_acks", "timeout", "topics"]
    assert list(inspect.signature(ProduceRequest.__init__).parameters) == names


def test_a_batch_bears_producer_epoch_and_sequence() -> None:
    """By the layout of a record batch, version 2: attributes at 21, producer id at 43, epoch at 51, sequence at 53."""
    builder = DefaultRecordBatchBuilder(
        2,
        packing.CODECS["gzip"],
        is_transactional=True,
        producer_id=7,
        producer_epoch=3,
        base_sequence=42,
        batch_size=packing.BATCH_BYTES,
    )
    assert builder.append(0, 1000, b"key", b"value", []) is not None
    data = bytes(builder.build())
    assert int.from_bytes(data[21:23], "big") == 0b10001, "gzip, transactional"
    assert int.from_bytes(data[43:51], "big") == 7
    assert int.from_bytes(data[51:53], "big") == 3
    assert int.from_bytes(data[53:57], "big") == 42
