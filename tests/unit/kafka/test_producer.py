"""What the producer relies on inside aiokafka, so that another version of it cannot change that unnoticed."""

from __future__ import annotations

import inspect

from aiokafka.producer import sender

from bridge.kafka import producer


def test_aiokafka_waits_as_long_as_it_is_told_for_the_transaction_before() -> None:
    assert producer.CONCURRENT_S < 0.02
    assert producer.CONCURRENT_S == sender.BACKOFF_OVERRIDE
    assert "return BACKOFF_OVERRIDE" in inspect.getsource(sender.AddPartitionsToTxnHandler)
