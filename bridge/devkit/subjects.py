"""What a schema registry knows: subjects, their versions, levels and modes. In memory; I/O is elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from bridge.devkit.avro import SchemaError, read_schema, text_of
from bridge.devkit.compatibility import LEVELS, incompatibilities

MODES = ("READWRITE", "READONLY", "READONLY_OVERRIDE")
Change = dict[str, Any]
"""One change as JSON: what the journal keeps and replays."""


class Refused(Exception):
    """A request is refused with a Confluent error code; the HTTP status is its first three digits."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.status = code, int(str(code)[:3])


@dataclass(frozen=True)
class Version:
    """One version of a subject; `text` is the schema as it was registered."""

    subject: str
    version: int
    id: int
    text: str
    deleted: bool = False


class Subjects:
    """All subjects of one registry.

    Args:
        journal: is told every change, after it was found good and before it is made.
    """

    def __init__(self, journal: Callable[[Change], None]) -> None:
        self._journal = journal
        self._ids: dict[str, int] = {}  # normal text -> id: the same schema has the same id everywhere
        self._texts: dict[int, str] = {}
        self._versions: dict[str, list[Version]] = {}
        self._levels: dict[str | None, str] = {None: "BACKWARD"}
        self._modes: dict[str | None, str] = {None: "READWRITE"}

    # --- reading

    def subjects(self, *, deleted: bool = False, prefix: str = "") -> list[str]:
        """Names, sorted; with `deleted` also those that are deleted, but not for good."""
        return sorted(name for name in self._versions if name.startswith(prefix) and self._all(name, deleted=deleted))

    def versions(self, subject: str, *, deleted: bool = False) -> list[Version]:
        """Versions, oldest first; 40401 if there are none."""
        if not (found := self._all(subject, deleted=deleted)):
            raise Refused(40401, f"Subject '{subject}' not found.")
        return found

    def version(self, subject: str, version: str, *, deleted: bool = False) -> Version:
        """One version by number, or `latest` (also -1)."""
        wanted = _number(version)
        found = self.versions(subject, deleted=deleted)
        if wanted is None:
            return found[-1]
        for each in found:
            if each.version == wanted:
                return each
        raise Refused(40402, f"Version {wanted} not found.")

    def schema(self, schema_id: int) -> str:
        """The text of an id, which outlives the subjects that used it."""
        if schema_id not in self._texts:
            raise Refused(40403, f"Schema {schema_id} not found")
        return self._texts[schema_id]

    def uses(self, schema_id: int, *, deleted: bool = False) -> list[Version]:
        """Where an id is used, by subject and version."""
        self.schema(schema_id)
        found = (each for name in sorted(self._versions) for each in self._all(name, deleted=deleted))
        return [each for each in found if each.id == schema_id]

    def lookup(self, subject: str, text: str, *, deleted: bool = False) -> Version:
        """The version of `subject` that has this schema; 40403 if none has it."""
        normal = _normal(text)
        for each in self.versions(subject, deleted=deleted):
            if _normal(each.text) == normal:
                return each
        raise Refused(40403, "Schema not found")

    def level(self, subject: str | None, *, default: bool = True) -> str:
        """Compatibility level in force; without `default` only one that was set for the subject itself."""
        if subject in self._levels or default:
            return self._levels.get(subject, self._levels[None])
        raise Refused(40408, f"Subject '{subject}' does not have subject-level compatibility configured")

    def mode(self, subject: str | None) -> str:
        """Mode in force."""
        return self._modes.get(subject, self._modes[None])

    def problems(self, subject: str, text: str, version: str | None = None) -> list[str]:
        """Why a schema may not join a subject, or does not go with one version of it; empty if it may."""
        schema = read(text)
        earlier = self._all(subject) if version is None else [self.version(subject, version)]
        return incompatibilities(schema, [read(each.text) for each in earlier], self.level(subject))

    # --- changing

    def register(self, subject: str, text: str) -> Version:
        """Add a version, or find the one that has this schema already.

        Raises:
            Refused: 42201 (not a schema), 409 (incompatible), 42205 (the subject is read-only).
        """
        normal = _normal(text)
        for each in self._all(subject):
            if _normal(each.text) == normal:
                return each
        if self.mode(subject) != "READWRITE":
            raise Refused(42205, f"Subject {subject} is in read-only mode")
        if problems := self.problems(subject, text):
            raise Refused(409, f"Schema being registered is incompatible with an earlier schema: {'; '.join(problems)}")
        number = max((each.version for each in self._all(subject, deleted=True)), default=0) + 1
        schema_id = self._ids.get(normal) or max(self._texts, default=0) + 1
        self._change({"do": "register", "subject": subject, "version": number, "id": schema_id, "schema": text})
        return self._versions[subject][-1]

    def set_level(self, subject: str | None, level: str) -> None:
        """Set the compatibility level of a subject, or the global one (None)."""
        if level not in LEVELS:
            raise Refused(42203, f"Invalid compatibility level: {level}")
        self._change({"do": "level", "subject": subject, "level": level})

    def clear_level(self, subject: str | None) -> str:
        """Back to the default; returns the level that was in force."""
        former = self.level(subject)
        self._change({"do": "level", "subject": subject, "level": None})
        return former

    def set_mode(self, subject: str | None, mode: str) -> None:
        """Set the mode of a subject, or the global one (None)."""
        if mode not in MODES:
            raise Refused(42204, f"Invalid mode: {mode}; this registry knows {', '.join(MODES)}")
        self._change({"do": "mode", "subject": subject, "mode": mode})

    def clear_mode(self, subject: str | None) -> str:
        """Back to the default; returns the mode that was in force."""
        former = self.mode(subject)
        self._change({"do": "mode", "subject": subject, "mode": None})
        return former

    def delete(self, subject: str, version: str | None = None, *, permanent: bool = False) -> list[int]:
        """Delete one version or all; for good only what was deleted before. Returns their numbers."""
        found = self.versions(subject, deleted=permanent)
        chosen = found if version is None else [self.version(subject, version, deleted=permanent)]
        if permanent and not all(each.deleted for each in chosen):
            code = 40405 if version is None else 40407
            raise Refused(code, f"'{subject}' was not deleted first before being permanently deleted")
        numbers = [each.version for each in chosen]
        self._change({"do": "delete", "subject": subject, "versions": numbers, "permanent": permanent})
        return numbers

    # --- one way for a change to happen, now or replayed

    def _change(self, change: Change) -> None:
        self._journal(change)
        self.apply(change)

    def apply(self, change: Change) -> None:
        """Make a change without asking whether it is allowed: it was, when it was journalled."""
        subject = change["subject"]
        match change["do"]:
            case "register":
                self._ids[_normal(change["schema"])] = change["id"]
                self._texts.setdefault(change["id"], change["schema"])
                added = Version(subject, change["version"], change["id"], change["schema"])
                self._versions.setdefault(subject, []).append(added)
            case "delete":
                self._delete(subject, set(change["versions"]), permanent=change["permanent"])
            case "level":
                _put(self._levels, subject, change["level"], "BACKWARD")
            case "mode":
                _put(self._modes, subject, change["mode"], "READWRITE")
            case other:
                raise ValueError(f"unknown change {other!r}")

    def _delete(self, subject: str, numbers: set[int], *, permanent: bool) -> None:
        kept = [each for each in self._versions[subject] if not (permanent and each.version in numbers)]
        self._versions[subject] = [replace(each, deleted=True) if each.version in numbers else each for each in kept]

    def _all(self, subject: str, *, deleted: bool = False) -> list[Version]:
        return [each for each in self._versions.get(subject, ()) if deleted or not each.deleted]


@lru_cache(4096)
def read(text: str) -> Any:
    """The normal form of a schema; 42201 if it is not one."""
    try:
        return read_schema(text)
    except SchemaError as error:
        raise Refused(42201, f"Invalid schema: {error}") from error


@lru_cache(4096)
def _normal(text: str) -> str:
    return text_of(read(text))


def _number(version: str) -> int | None:
    """A version number, or None for the latest."""
    if version in {"latest", "-1"}:
        return None
    if not version.isdecimal() or not 0 < int(version) < 2**31:
        raise Refused(42202, f"The specified version '{version}' is not a valid version id.")
    return int(version)


def _put(table: dict[str | None, str], subject: str | None, value: str | None, default: str) -> None:
    if value is not None:
        table[subject] = value
    elif subject is None:
        table[None] = default
    else:
        table.pop(subject, None)
