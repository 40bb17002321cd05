"""Client of a Confluent-compatible schema registry: register subjects and learn their ids.

Two calls are needed; they are made once per process, in parallel, before the first record. Schemas of another
registry id that turn up later (`tail`) are fetched by id. Nothing here is on the hot path.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
import tenacity

from bridge.errors import KafkaUnavailable, KafkaUnusable

COMPATIBILITY = "FULL_TRANSITIVE"
PARALLEL = 8
ATTEMPTS = 5
_TYPE = "application/vnd.schemaregistry.v1+json"


class Registry:
    """Async context manager around one HTTP session.

    Args:
        url: base address of the registry.
        auth: user and password, if it wants them.
        tls: a context with the CA to trust, else the system's.
        timeout_s: limit of one call; a call is tried five times when the registry is away or busy.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._url, self._timeout_s, self._tls = url.rstrip("/"), timeout_s, tls
        self._login = {"Authorization": aiohttp.encode_basic_auth(*auth)} if auth else {}
        self._http: aiohttp.ClientSession | None = None
        self._by_id: dict[int, Mapping[str, Any]] = {}
        self._slots = asyncio.Semaphore(PARALLEL)

    def __repr__(self) -> str:
        """The address, never the password."""
        return f"Registry({self._url})"

    async def __aenter__(self) -> Registry:
        """Open the HTTP session."""
        self._http = aiohttp.ClientSession(headers=self._login, timeout=aiohttp.ClientTimeout(total=self._timeout_s))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        if self._http is not None:
            await self._http.close()

    async def register_all(self, wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
        """Register a schema under each subject, with FULL_TRANSITIVE compatibility set first where it is new.

        Args:
            wanted: schema by subject.

        Returns:
            Registry id by subject.

        Raises:
            KafkaUnavailable: the registry does not answer.
            KafkaUnusable: it refuses a schema or us, with its own words.
        """
        answer = await self._call("GET", "/subjects")
        if not isinstance(answer, list):
            raise self._not_a_registry()
        known = set(answer)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {
                    subject: group.create_task(self._register(subject, schema, new=subject not in known))
                    for subject, schema in wanted.items()
                }
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return {subject: task.result() for subject, task in tasks.items()}

    async def schema(self, schema_id: int) -> Mapping[str, Any]:
        """The schema with this id, from memory after the first time."""
        if schema_id not in self._by_id:
            answer = await self._call("GET", f"/schemas/ids/{schema_id}")
            self._by_id[schema_id] = orjson.loads(answer["schema"])
        return self._by_id[schema_id]

    async def incompatible(self, subject: str, schema: Mapping[str, Any]) -> list[str]:
        """What the registry has against the schema as the subject's next version; empty if nothing.

        A subject that does not exist yet accepts anything.
        """
        path = f"/compatibility/subjects/{quote(subject, safe='')}/versions/latest?verbose=true"
        answer = await self._call("POST", path, {"schema": orjson.dumps(schema).decode()}, missing={})
        if answer.get("is_compatible", True):
            return []
        return list(answer.get("messages") or ["incompatible"])

    async def _register(self, subject: str, schema: Mapping[str, Any], *, new: bool) -> int:
        name = quote(subject, safe="")
        if new:
            await self._call("PUT", f"/config/{name}", {"compatibility": COMPATIBILITY})
        answer = await self._call("POST", f"/subjects/{name}/versions", {"schema": orjson.dumps(schema).decode()})
        try:
            return int(answer["id"])
        except (TypeError, LookupError, ValueError) as error:
            raise self._not_a_registry() from error

    def _not_a_registry(self) -> KafkaUnusable:
        return KafkaUnusable(f"{self._url} does not answer as a schema registry; check registry.url")

    async def _call(self, method: str, path: str, body: Any = None, *, missing: Any = None) -> Any:
        async with self._slots:
            return await self._retrying(self._once)(method, path, body, missing)

    def _retrying(self, call: Any) -> Any:
        return tenacity.retry(
            retry=tenacity.retry_if_exception_type(KafkaUnavailable),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_exponential_jitter(multiplier=0.1, max=2.0, jitter=0.1),
            reraise=True,
        )(call)

    async def _once(self, method: str, path: str, body: Any, missing: Any) -> Any:
        assert self._http is not None, "use `async with Registry(...)`"  # noqa: S101 - misuse by our own code
        where = f"the schema registry at {self._url}"
        try:
            async with self._http.request(
                method,
                self._url + path,
                data=None if body is None else orjson.dumps(body),
                headers={"Content-Type": _TYPE, "Accept": _TYPE},
                ssl=self._tls or True,
            ) as answer:
                status, raw = answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KafkaUnavailable(
                f"{where} does not answer ({type(error).__name__}: {error}); check registry.url and that it is up"
            ) from error
        return _answer(where, status, raw, path, missing)


def _answer(where: str, status: int, raw: bytes, path: str, missing: Any) -> Any:
    if status == 404 and missing is not None:
        return missing
    if status in (401, 403):
        raise KafkaUnusable(f"{where} refuses us ({status}); check registry.username and registry.password")
    if status == 409:
        raise KafkaUnusable(f"{where} refuses a schema as incompatible ({path}): {_words(raw)}")
    if status in (429, 500, 502, 503, 504):
        raise KafkaUnavailable(f"{where} is in trouble ({status}): {_words(raw)}")
    if status >= 400:
        raise KafkaUnusable(f"{where} refuses {path} ({status}): {_words(raw)}")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise KafkaUnusable(f"{where} does not speak the registry's protocol; check registry.url") from error


def _words(raw: bytes) -> str:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = raw.decode(errors="replace")
    text = body.get("message", body) if isinstance(body, dict) else body
    return str(text)[:300]
