"""The calls of the schema registry API: what comes in by HTTP, asked of `Subjects`, answered in Confluent's form."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bridge.devkit.subjects import Refused, Subjects, Version

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes(known: Subjects) -> list[web.RouteDef]:
    """All calls of the API, answered from what `known` knows."""
    calls = _Calls(known)
    subject, version = "/subjects/{subject}", "/subjects/{subject}/versions/{version}"
    compatible = "/compatibility/subjects/{subject}/versions"
    return [
        web.get("/", calls.root),
        web.get("/contexts", calls.contexts),
        web.get("/subjects", calls.subjects),
        web.post(subject, calls.lookup),
        web.delete(subject, calls.delete),
        web.get(f"{subject}/versions", calls.versions),
        web.post(f"{subject}/versions", calls.register),
        web.get(version, calls.version),
        web.delete(version, calls.delete),
        web.get(f"{version}/schema", calls.version_text),
        web.get(f"{version}/referencedby", calls.referenced_by),
        web.get("/schemas/types", calls.types),
        web.get("/schemas/ids/{id}", calls.schema),
        web.get("/schemas/ids/{id}/schema", calls.schema_text),
        web.get("/schemas/ids/{id}/subjects", calls.schema_subjects),
        web.get("/schemas/ids/{id}/versions", calls.schema_versions),
        web.post(compatible, calls.compatible),
        web.post(compatible + "/{version}", calls.compatible),
        *(route for path in ("/config", "/config/{subject}") for route in _setting(path, calls.level)),
        *(route for path in ("/mode", "/mode/{subject}") for route in _setting(path, calls.mode)),
    ]


def _setting(path: str, call: Handler) -> list[web.RouteDef]:
    return [web.get(path, call), web.put(path, call), web.delete(path, call)]


class _Calls:
    """One method for each call of the API; they translate, `Subjects` decides."""

    def __init__(self, known: Subjects) -> None:
        self._known = known

    async def root(self, _: web.Request) -> web.Response:
        return _answer({})

    async def contexts(self, _: web.Request) -> web.Response:
        return _answer(["."])

    async def types(self, _: web.Request) -> web.Response:
        return _answer(["AVRO"])

    async def subjects(self, request: web.Request) -> web.Response:
        prefix = request.query.get("subjectPrefix", "").removeprefix(":*:")
        return _answer(self._known.subjects(deleted=_flag(request, "deleted"), prefix=prefix))

    async def versions(self, request: web.Request) -> web.Response:
        found = self._known.versions(_subject(request), deleted=_flag(request, "deleted"))
        return _answer([each.version for each in found])

    async def version(self, request: web.Request) -> web.Response:
        return _answer(_version(self._one(request)))

    async def version_text(self, request: web.Request) -> web.Response:
        return _text(self._one(request).text)

    async def referenced_by(self, request: web.Request) -> web.Response:
        self._one(request)
        return _answer([])  # references are refused, so nothing is ever referred to

    async def lookup(self, request: web.Request) -> web.Response:
        text = await _schema(request)
        return _answer(_version(self._known.lookup(_subject(request), text, deleted=_flag(request, "deleted"))))

    async def register(self, request: web.Request) -> web.Response:
        registered = self._known.register(_subject(request), await _schema(request))
        return _answer({"id": registered.id})

    async def delete(self, request: web.Request) -> web.Response:
        version = request.match_info.get("version")
        numbers = self._known.delete(_subject(request), version, permanent=_flag(request, "permanent"))
        return _answer(numbers if version is None else numbers[0])

    async def schema(self, request: web.Request) -> web.Response:
        return _answer({"schema": self._known.schema(_id(request))})

    async def schema_text(self, request: web.Request) -> web.Response:
        return _text(self._known.schema(_id(request)))

    async def schema_subjects(self, request: web.Request) -> web.Response:
        found = self._known.uses(_id(request), deleted=_flag(request, "deleted"))
        return _answer(sorted({each.subject for each in found}))

    async def schema_versions(self, request: web.Request) -> web.Response:
        found = self._known.uses(_id(request), deleted=_flag(request, "deleted"))
        return _answer([{"subject": each.subject, "version": each.version} for each in found])

    async def compatible(self, request: web.Request) -> web.Response:
        text = await _schema(request)
        problems = self._known.problems(_subject(request), text, request.match_info.get("version"))
        answer: dict[str, Any] = {"is_compatible": not problems}
        return _answer(answer | ({"messages": problems} if _flag(request, "verbose") else {}))

    async def level(self, request: web.Request) -> web.Response:
        subject = request.match_info.get("subject")
        if request.method == "GET":
            default = subject is None or _flag(request, "defaultToGlobal")
            return _answer({"compatibilityLevel": self._known.level(subject, default=default)})
        if request.method == "DELETE":
            return _answer({"compatibilityLevel": self._known.clear_level(subject)})
        level = str((await _body(request)).get("compatibility", ""))
        self._known.set_level(subject, level)
        return _answer({"compatibility": level})

    async def mode(self, request: web.Request) -> web.Response:
        subject = request.match_info.get("subject")
        if request.method == "GET":
            return _answer({"mode": self._known.mode(subject)})
        if request.method == "DELETE":
            return _answer({"mode": self._known.clear_mode(subject)})
        mode = str((await _body(request)).get("mode", ""))
        self._known.set_mode(subject, mode)
        return _answer({"mode": mode})

    def _one(self, request: web.Request) -> Version:
        version = request.match_info["version"]
        return self._known.version(_subject(request), version, deleted=_flag(request, "deleted"))


def _version(version: Version) -> dict[str, Any]:
    return {"subject": version.subject, "version": version.version, "id": version.id, "schema": version.text}


def _subject(request: web.Request) -> str:
    return request.match_info["subject"]


def _id(request: web.Request) -> int:
    text = request.match_info["id"]
    if not text.isdecimal():
        raise Refused(40403, f"Schema {text} not found")
    return int(text)


def _flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() == "true"


async def _body(request: web.Request) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        body = json.loads(await request.text())
        if isinstance(body, dict):
            return body
    raise Refused(42201, "The request body is not a JSON object")


async def _schema(request: web.Request) -> str:
    """The schema of a request body.

    `normalize` needs no attention: schemas are compared in their normal form here anyway.
    """
    body = await _body(request)
    if body.get("references"):
        raise Refused(42201, "This development registry does not support schema references")
    if body.get("schemaType", "AVRO") != "AVRO":
        raise Refused(42201, f"This development registry knows AVRO only, not {body['schemaType']}")
    if not isinstance(body.get("schema"), str):
        raise Refused(42201, "The request body has no schema")
    return str(body["schema"])


def _answer(value: Any, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(value), status=status, content_type=CONTENT_TYPE)


def _text(schema: str) -> web.Response:
    return web.Response(text=schema, content_type=CONTENT_TYPE)


def error(status: int, code: int, message: str) -> web.Response:
    """An error in Confluent's form."""
    return _answer({"error_code": code, "message": message}, status)
