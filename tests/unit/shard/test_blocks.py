from __future__ import annotations

from bridge.shard.blocks import RECORD_BYTES, Block, Place, pack, unpack
from bridge.shard.notes import Alive, Frame, Item, Note, SessionOpened

A, B = Note(Alive(), 5), Note(SessionOpened(), 6)


def frames(*texts: bytes, parsed: bool = False) -> list[Frame]:
    return [Frame(n, text, [{}] if parsed else None, 2**50 + n) for n, text in enumerate(texts, 7)]


def block(*items: Item) -> Block:
    made = Block()
    for item in items:
        made.add(item)
    return made


def test_frames_come_back_as_they_were_but_unparsed() -> None:
    texts = (b"a[]", b"", b"a" * 100_000)
    data = pack([A, *frames(*texts, parsed=True), B])
    assert len(data) == sum(map(len, texts)) + len(texts) * RECORD_BYTES
    assert unpack(data) == frames(*texts)
    assert unpack(b"") == []


def test_notes_keep_their_places() -> None:
    one, two, three = frames(b"1", b"2", b"3")
    items: list[Item] = [A, B, one, two, A, three, B]
    made = block(*items)
    made.settle(Place(1, 0, 0, 0))
    assert made.items == []
    assert made.restored([one, two, three]) == items
    assert list(made.outline()) == [(0, A), (0, B), (2, A), (1, B), (0, None)]


def test_a_block_knows_what_it_holds() -> None:
    made = block(A, *frames(b"12", b"345"))
    assert (made.frames, made.bytes, made.first_us) == (2, 5 + 2 * RECORD_BYTES, 2**50 + 7)
    assert (block(A).frames, block(A).bytes, block(A).first_us) == (0, 0, 0)
