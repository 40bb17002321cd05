from collections.abc import Iterable, Mapping
from typing import Any, final

SOURCES: str

@final
class ValueEncoder:
    def __new__(cls, fields: tuple[tuple[str, str, tuple[str, ...] | None], ...]) -> ValueEncoder: ...
    def encode(self, entity: Any, /) -> tuple[bytes, int | None] | None: ...

@final
class Splicer:
    def __new__(
        cls,
        types: Mapping[str, tuple[str, bytes, bytes, bytes, bytes]],
        snapshots: Mapping[str, bytes],
        source: bytes,
        state_topic: str,
    ) -> Splicer: ...
    def add(
        self,
        changes: list[Any],
        seq: int,
        last: int,
        frame: int,
        received_us: int,
        now_ms: int,
        batches: dict[str, Any],
        resend: bool,
        /,
    ) -> int: ...

@final
class Live:
    def __new__(
        cls,
        kinds: Mapping[str, tuple[Any, ...]],
        accounts: dict[int, Any],
        undo: list[Any],
        live_undo: list[Any],
        words: tuple[str, str, str, str, str, str],
        divisor: int,
        remainder: int,
        deduplicate: bool,
        max_value_bytes: int,
    ) -> Live: ...
    def run(
        self, rows: list[Any], row: int, entity: int, initial: bool, changes: list[Any], /
    ) -> tuple[int, int, int, int, int, int, int, int]:
        """From an entity of a row on, while all is usual.

        Returns:
            Row and entity that are not done (the number of rows and 0 when all are); live events, snapshot rows and
            unchanged ones among them; live events of own owners, snapshot rows of own owners, live events of foreign.
        """

@final
class Express:
    def __new__(
        cls,
        live: Live,
        splicer: Splicer,
        pasts: dict[str, tuple[dict[int, list[int]], dict[int, int]]],
        contents: int,
        largest: int,
    ) -> Express: ...
    def take(
        self,
        frames: list[bytes],
        start: int,
        number: int,
        received_us: int,
        now_ms: int,
        seq: int,
        batches: dict[str, Any],
        /,
    ) -> tuple[int, int, int, int, int, int]:
        """Frames from `start` on, up to one that holds anything unusual.

        Returns:
            How many, the last seq used; live events, unchanged ones, those of own and those of foreign owners.
        """

@final
class Records:
    def __new__(cls, batch_bytes: int) -> Records: ...
    def append(self, record: tuple[bytes, bytes | None], /) -> None: ...
    def extend(self, records: Iterable[tuple[bytes, bytes | None]], /) -> None: ...
    def __len__(self) -> int: ...
    def chunks(self) -> int: ...
    def chunk(self, number: int, /) -> tuple[int, bytearray]:
        """How many records are in it, and the batch; its first 61 bytes are zeros, for the head."""

def cut(data: bytes, at: int, most_bytes: int, /) -> tuple[list[bytes], int, int]: ...
def only_events(raw: bytes, /) -> bool: ...
def read_rows(messages: list[Any], first: int, rows: list[Any], /) -> int: ...
