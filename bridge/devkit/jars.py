"""Apache Kafka as pinned files: fetched once into the user's cache, trusted only by SHA-256.

`kafka-4.3.1.lock` beside this module names every jar. `jgo`, a Maven client in Python, brings a file by its coordinate;
no Maven and no Java are needed for that. Several processes may fetch at the same time: one does it, the others wait.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bridge.devkit.progress import Progress, progress_on_stderr
from bridge.errors import ConfigurationError, KafkaUnavailable, KafkaUnusable

KAFKA_VERSION = "4.3.1"
LOCK_WAIT_S = 900.0
_ATTEMPTS = 3
_PAUSE_S = 1.0
_CONNECTIONS = 6
_TIMEOUT_S = 30


@dataclass(frozen=True)
class Jar:
    """One pinned file: Maven coordinate and lower-case hex SHA-256."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        """Name in the cache, the usual one: `artifact-version.jar`."""
        return f"{self.artifact}-{self.version}.jar"


Resolver = Callable[[Jar, Path], Path]
"""Brings one jar; may use the given scratch folder; returns the file. Raises OSError or RuntimeError if it cannot."""


def pinned() -> tuple[Jar, ...]:
    """The jars of the lock file beside this module, in its order, which is also the order of the class path."""
    text = Path(__file__).with_name(f"kafka-{KAFKA_VERSION}.lock").read_text(encoding="utf-8")
    return tuple(_parse(line) for line in text.splitlines() if line and not line.startswith("#"))


def _parse(line: str) -> Jar:
    coordinate, sha256 = line.split()
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, sha256)


def cache_dir() -> Path:
    """Where this program keeps what it fetches: `SYNCBRIDGE_CACHE`, else the platform's cache folder."""
    if own := os.environ.get("SYNCBRIDGE_CACHE"):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser() / "syncbridge"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "syncbridge"
    return Path.home() / ".cache" / "syncbridge"


def fetch(
    target: Path | None = None,
    *,
    jars: tuple[Jar, ...] | None = None,
    resolve: Resolver | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Make sure that every pinned jar is there and is the right one; fetch what is not.

    Args:
        target: the folder; default `kafka-<version>` in the cache.
        jars: what is wanted; default the lock file's.
        resolve: how one jar is brought; default `jgo`, from its default repository or from `SYNCBRIDGE_MAVEN_URL`.
        progress: told how far it is; default a bar or plain lines on stderr.

    Returns:
        The files, in the order of `jars`.

    Raises:
        KafkaUnavailable: a file could not be fetched.
        KafkaUnusable: a fetched file is not the pinned one, or the cache cannot be written.
        ConfigurationError: `jgo` is not installed.
    """
    folder = target or cache_dir() / f"kafka-{KAFKA_VERSION}"
    wanted = pinned() if jars is None else jars
    try:
        if _missing(folder, wanted):
            folder.mkdir(parents=True, exist_ok=True)
            with _exclusive(folder / ".lock"):
                if missing := _missing(folder, wanted):  # another process may have done it meanwhile
                    _fetch(missing, folder, resolve or jgo_resolver(), progress or progress_on_stderr())
    except OSError as error:
        raise KafkaUnusable(
            f"the cache {folder} cannot be used ({error}): set SYNCBRIDGE_CACHE to a folder of yours"
        ) from error
    return [folder / jar.filename for jar in wanted]


def _missing(folder: Path, jars: tuple[Jar, ...]) -> list[Jar]:
    """Those that are not there or not intact. 43 MB are hashed in 0.1 s, so that a damaged cache heals itself."""
    return [jar for jar in jars if _sha256(folder / jar.filename) != jar.sha256]


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _fetch(jars: list[Jar], folder: Path, resolve: Resolver, progress: Progress) -> None:
    # The scratch folder is inside the cache, so that a verified file moves into place by a rename.
    with (
        tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch,
        progress.running(f"fetching Apache Kafka {KAFKA_VERSION} into {folder} (once)", len(jars)),
        ThreadPoolExecutor(_CONNECTIONS) as pool,
    ):
        tasks = [pool.submit(_fetch_one, jar, folder, Path(scratch), resolve) for jar in jars]
        try:
            for task in as_completed(tasks):
                progress.advance(task.result().filename)
        except BaseException:
            pool.shutdown(
                wait=False, cancel_futures=True
            )  # else every other file would be tried before the error shows
            raise


def _fetch_one(jar: Jar, folder: Path, scratch: Path, resolve: Resolver) -> Jar:
    file = _bring(jar, scratch, resolve)
    found = _sha256(file)
    if found != jar.sha256:
        raise KafkaUnusable(
            f"{jar.filename} is not the pinned file (SHA-256 {found}, expected {jar.sha256}): something on the way "
            "changed it; check proxy and mirror (SYNCBRIDGE_MAVEN_URL), then try again"
        )
    file.replace(folder / jar.filename)
    return jar


def _bring(jar: Jar, scratch: Path, resolve: Resolver) -> Path:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            # A folder for each attempt: half a file left behind by the last one must not be taken for the whole.
            return resolve(jar, scratch / f"{jar.filename}.{attempt}")
        except (OSError, RuntimeError) as error:
            cause = error
            if attempt < _ATTEMPTS:
                time.sleep(attempt * _PAUSE_S)
    raise KafkaUnavailable(
        f"cannot fetch {jar.filename} for the embedded Kafka ({_root_cause(cause)}): check network and proxy settings, "
        "set SYNCBRIDGE_MAVEN_URL to a mirror, or set kafka.bootstrap_servers to a Kafka of yours"
    ) from cause


def _root_cause(error: BaseException) -> str:
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {error}"


def jgo_resolver() -> Resolver:
    """A resolver that asks the Maven client `jgo`; its cache is the scratch folder, so nothing is left in `~/.m2`."""
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415 - optional, and takes 0.4 s: only when something is missing
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            'the embedded Kafka is not installed: pip install "syncbridge[embedded]", '
            "or set kafka.bootstrap_servers to a Kafka of yours"
        ) from error
    mirror = os.environ.get("SYNCBRIDGE_MAVEN_URL")
    remote = {"mirror": mirror.rstrip("/")} if mirror else None

    def resolve(jar: Jar, scratch: Path) -> Path:
        context = MavenContext(repo_cache=scratch, remote_repos=remote, timeout=_TIMEOUT_S)
        return Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())

    return resolve


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold an advisory lock on `path`; the system frees it when the holder ends, however it ends."""
    deadline = time.monotonic() + LOCK_WAIT_S
    with path.open("w", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise KafkaUnavailable(
                        f"another process has been fetching into {path.parent} for {LOCK_WAIT_S:.0f} s: "
                        "end it, then try again"
                    ) from error
                time.sleep(0.1)
        yield
