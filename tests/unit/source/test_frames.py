import pytest

from bridge.source import frames
from bridge.source.frames import Kind


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"o", Kind.OPEN),
        (b"h", Kind.HEARTBEAT),
        (b"h\n", Kind.HEARTBEAT),
        (b'a[{"e":"props"}]', Kind.ARRAY),
        (b"a []", Kind.ARRAY),
        (b"c", Kind.CLOSE),
        (b'c[3000,"Go away!"]', Kind.CLOSE),
        (b"", Kind.GARBAGE),
        (b"a", Kind.GARBAGE),
        (b"[]", Kind.GARBAGE),
        (b"hello", Kind.GARBAGE),
        (b"oops", Kind.GARBAGE),
        (b"closed", Kind.GARBAGE),
        (b"<html>", Kind.GARBAGE),
        (b"\xff\x00", Kind.GARBAGE),
    ],
)
def test_the_first_character_tells_what_a_frame_is(raw: bytes, kind: Kind) -> None:
    assert frames.classify(raw) is kind


def test_messages_keep_their_order_and_strings_holding_objects_are_unwrapped() -> None:
    raw = rb'a[{"e":"props","d":1},"{\"i\":1,\"s\":200}","just text","{broken","[1]",null]'

    assert frames.elements(raw) == [{"e": "props", "d": 1}, {"i": 1, "s": 200}, "just text", "{broken", "[1]", None]


@pytest.mark.parametrize("raw", [b"a{}", b"a1", b"a[", b"a[{]", b'a[{"e":"pro', b"a[\xff]", b"a" + b"[" * 100_000])
def test_a_payload_that_is_no_array_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        frames.elements(raw)


def test_what_the_fast_reader_refuses_is_read_exactly() -> None:
    (message,) = frames.elements(rb'a[{"d":{"a":1e400,"b":99999999999999999999,"c":"\ud800"}}]')

    assert message["d"]["b"] == 99999999999999999999
    assert message["d"]["c"] == "\ud800"


def test_an_exact_reading_rounds_nothing() -> None:
    raw = b'a[{"id":12345678901234567890123}]'

    assert frames.elements(raw) != frames.elements(raw, exact=True)
    assert frames.elements(raw, exact=True) == [{"id": 12345678901234567890123}]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"c", (None, "")),
        (b'c[3000,"Go away!"]', (3000, "Go away!")),
        (b"c[3000]", (3000, "")),
        (b"c[]", (None, "")),
        (b'c["3000","x"]', (None, "x")),
        (b"c[99999999]", (None, "")),
        (b"c[3000,", (None, "[3000,")),
        (b"c[true,[1]]", (None, "[1]")),
    ],
)
def test_a_close_frame_is_bare_or_holds_code_and_reason(raw: bytes, expected: tuple[int | None, str]) -> None:
    assert frames.close_reason(raw) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Access is denied", "Access is denied"),
        ('"Not found: quote/subscribe"', "Not found: quote/subscribe"),
        ('"\\"twice\\""', "twice"),
        ('"unfinished', '"unfinished'),
        ({"errorText": "no"}, '{"errorText": "no"}'),
        (None, ""),
        (7, "7"),
        ("\ud800", "?"),
        ("x" * 9999, "x" * 500),
    ],
)
def test_error_texts_are_decoded_once_or_twice_and_are_short(value: object, text: str) -> None:
    assert frames.plain_text(value) == text


def test_a_request_keeps_the_newlines_of_empty_fields() -> None:
    assert frames.request("account/list", 2) == "account/list\n2\n\n"
    assert frames.request("contract/item", 26, query="id=560901") == "contract/item\n26\nid=560901\n"
    assert frames.request("authorize", 0, "eyJ") == "authorize\n0\n\neyJ"
