from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bridge.devkit import jars
from bridge.devkit.jars import Jar, fetch, pinned
from bridge.devkit.progress import Lines
from bridge.errors import ConfigurationError, KafkaUnavailable, KafkaUnusable


def jar(name: str, content: bytes) -> Jar:
    return Jar("org.example", name, "1.0", hashlib.sha256(content).hexdigest())


def source(contents: dict[str, bytes], asked: list[str] | None = None) -> jars.Resolver:
    """A repository that is a dictionary."""

    def resolve(wanted: Jar, scratch: Path) -> Path:
        if asked is not None:
            asked.append(wanted.artifact)
        scratch.mkdir(parents=True)
        file = scratch / wanted.filename
        file.write_bytes(contents[wanted.artifact])
        return file

    return resolve


QUIET = Lines(io.StringIO())


def test_lock_file_pins_every_jar_once_by_a_sha256() -> None:
    names = [each.filename for each in pinned()]
    assert len(names) == len(set(names)) == 46
    assert "kafka_2.13-4.3.1.jar" in names
    assert all(re.fullmatch("[0-9a-f]{64}", each.sha256) for each in pinned())


def test_what_is_missing_is_fetched_and_what_is_there_is_not(tmp_path: Path) -> None:
    contents, asked = {"a": b"one", "b": b"two"}, list[str]()
    wanted = tuple(jar(name, content) for name, content in contents.items())
    first = fetch(tmp_path, jars=wanted, resolve=source(contents, asked), progress=QUIET)
    assert [file.read_bytes() for file in first] == [b"one", b"two"]
    assert sorted(asked) == ["a", "b"]
    (tmp_path / "b-1.0.jar").write_bytes(b"damaged")
    fetch(tmp_path, jars=wanted, resolve=source(contents, asked), progress=QUIET)
    assert sorted(asked) == ["a", "b", "b"]
    assert (tmp_path / "b-1.0.jar").read_bytes() == b"two"
    assert not list(tmp_path.glob(".fetch-*"))


def test_file_with_another_hash_is_refused_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(KafkaUnusable, match=r"a-1\.0\.jar is not the pinned file"):
        fetch(tmp_path, jars=(jar("a", b"right"),), resolve=source({"a": b"wrong"}), progress=QUIET)
    assert not (tmp_path / "a-1.0.jar").exists()


def test_without_a_network_the_error_names_the_file_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_PAUSE_S", 0.0)
    tries: list[str] = []

    def resolve(wanted: Jar, scratch: Path) -> Path:  # noqa: ARG001
        tries.append(wanted.artifact)
        raise ConnectionError("no route to host")

    with pytest.raises(KafkaUnavailable, match=r"cannot fetch a-1\.0\.jar .*no route to host.*SYNCBRIDGE_MAVEN_URL"):
        fetch(tmp_path, jars=(jar("a", b"x"),), resolve=resolve, progress=QUIET)
    assert tries == ["a"] * 3


def test_jgo_is_asked_at_the_mirror_and_says_when_nobody_answers_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_PAUSE_S", 0.0)
    monkeypatch.setenv("SYNCBRIDGE_MAVEN_URL", "http://127.0.0.1:9/maven")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(KafkaUnavailable, match=r"cannot fetch a-1\.0\.jar .*refused"):
        fetch(tmp_path, jars=(jar("a", b"x"),), progress=QUIET)


def test_without_jgo_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(ConfigurationError, match=r"syncbridge\[embedded\]"):
        fetch(tmp_path, jars=(jar("a", b"x"),), progress=QUIET)


def test_second_fetch_waits_for_the_first_and_fetches_nothing_itself(tmp_path: Path) -> None:
    wanted, begun, go_on, asked = jar("a", b"x"), threading.Event(), threading.Event(), list[str]()
    plain = source({"a": b"x"}, asked)

    def slow(each: Jar, scratch: Path) -> Path:
        begun.set()
        go_on.wait()
        return plain(each, scratch)

    first = threading.Thread(
        target=fetch, args=(tmp_path,), kwargs={"jars": (wanted,), "resolve": slow, "progress": QUIET}
    )
    second = threading.Thread(
        target=fetch, args=(tmp_path,), kwargs={"jars": (wanted,), "resolve": plain, "progress": QUIET}
    )
    first.start()
    begun.wait()
    second.start()
    second.join(0.3)
    assert second.is_alive()
    assert asked == []
    go_on.set()
    first.join()
    second.join()
    assert asked == ["a"]


PROCESS = """
import sys, time
from pathlib import Path
from tests.unit.devkit.test_jars import QUIET, jar, source
from bridge.devkit.jars import fetch

contents = {f"j{i}": bytes([i]) * 1000 for i in range(20)}
asked = []
wanted = tuple(jar(*each) for each in contents.items())
fetch(Path(sys.argv[1]), jars=wanted, resolve=source(contents, asked), progress=QUIET)
print(len(asked))
"""


def test_two_processes_fill_an_empty_cache_together(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    both = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path)], cwd=root, stdout=subprocess.PIPE, text=True)  # noqa: S603
        for _ in range(2)
    ]
    asked = [int(process.communicate()[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(asked) == [0, 20]
    assert len(list(tmp_path.glob("*.jar"))) == 20


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"SYNCBRIDGE_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/syncbridge"),
    ],
)
def test_place_of_the_cache(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], folder: str) -> None:
    monkeypatch.delenv("SYNCBRIDGE_CACHE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert jars.cache_dir() == Path(folder)


def test_cache_that_cannot_be_made_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(KafkaUnusable, match="SYNCBRIDGE_CACHE"):
        fetch(tmp_path / "file" / "cache", jars=(jar("a", b"x"),), resolve=source({"a": b"x"}), progress=QUIET)
