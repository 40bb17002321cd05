"""Recognisable bytes where the framing would stand, so that tests can see which prefix went where."""

from __future__ import annotations

from bridge.kafka.envelope import Origin, TypeBytes
from bridge.kafka.statelog import StateCodec

STATE = "p.bridge.state"
ORIGIN = Origin("1.2.3", "p", "demo", 2, 4)
FINGERPRINT = b"FINGERPR"
CODEC = StateCodec(b"\x00KEY.", b"\x00VALU")


def type_bytes(name: str) -> TypeBytes:
    return TypeBytes(
        topic=f"p.{name}",
        key=b"K:" + name.encode() + b":",
        value=b"V:" + name.encode() + b":",
        state_key=CODEC.entity_key_prefix(name),
        state_value=CODEC.entity_value_prefix(FINGERPRINT),
    )
