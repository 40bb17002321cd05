"""Every switch of the simulator, in one frozen record.

What the real service does is published only in part; where sources are silent or disagree, the simulator can do each of
the things a client must expect. The defaults are the likeliest reading.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

Split = Literal["A", "B", "C", "D"]
Reach = Literal["all", "first", "none"]
FIXED = frozenset({"host", "port", "certificate", "private_key", "seed", "accounts", "name", "password"})


class OptionError(ValueError):
    """An option that does not exist or cannot have that value; the message names it."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the simulator behaves. Durations are in seconds, rates in events a second.

    Attributes:
        host: address to listen on.
        port: port to listen on, 0 for a free one.
        certificate: PEM file of the server's certificate; with `private_key` it makes the server speak TLS.
        private_key: PEM file of the certificate's key.
        seed: two worlds with the same seed, told the same times, are the same.
        accounts: number of trading accounts.
        rate: events a second that the world produces by itself.
        roll_every_s: seconds between session rolls, 0 for none.
        roll_resend: how many of the latest events are sent again before such a roll.
        deletes: share of trading steps that also delete or re-create an entity.
        name: the only user name accepted, None for any.
        password: the only password accepted, None for any.
        bad_login: a refused login is HTTP 200 with `errorText`, or 401.
        token_lifetime_s: life of an access token.
        max_sessions: access tokens a user may hold; one more ends the oldest.
        evicted_status: what the token of an ended session is answered.
        expired_sockets: what becomes of an open socket whose token expires: it stays and works, its requests are
            refused, or it is closed.
        max_sockets: sockets a user may hold; one more closes the oldest and revokes its token.
        max_devices: devices (`deviceId` at login) a user's sockets may belong to; beyond them likewise.
        max_addresses: addresses a user's sockets may come from; beyond them the oldest sockets are closed likewise.
        login_limit: failed logins an hour before a penalty ticket (with captcha) is the answer, 0 for no limit.
        renew_limit: renewals an hour before a ticket.
        me_limit: refused `auth/me` an hour before a ticket.
        sync_limit: syncrequests an hour before a ticket.
        request_limit: requests an hour with a token before the answer is 423 once and then 429, 0 for no limit.
        anonymous_limit: the same for requests without a token.
        anonymous_per_second: requests a second without a token before the answer is 429.
        penalty_s: `p-time` of the limits' tickets, None for the published 15, 15, 30 and 3 seconds.
        penalty_grows: each further ticket of the limits within the hour costs as much more.
        organisation: the user is a B2B vendor, whose syncrequest must say `splitResponses: true`.
        split: form of the split snapshot: A several answers, B one answer and then props with arrays,
            C answers whose data are an array of entities, D one answer.
        part_event: what variant B says in `eventType`: Created, Updated, or nothing.
        parts: how many parts a split snapshot has.
        part_delay_s: pause between the parts.
        events_between_parts: send live events between delayed parts instead of after them.
        snapshot_sharded: the snapshot holds only what belongs to the shard.
        snapshot_lag_s: the snapshot shows the world as it was so long ago, while events are of the present.
        shard_by: the modulus is taken of the owning account's (or user's) id, or of the entity's own id.
        ownerless: which shards see reference data: all, the one with remainder 0, or none.
        user_level: which shards see a user's own entities under modAccountId.
        empty_lists: a requested list without rows is `[]`, left out, or null.
        heartbeat_s: pause between server heartbeats, 0 for none.
        heartbeat_when_busy: send them also while data flow.
        client_timeout_s: silence of the client after which the server closes, 0 for never.
        authorize_timeout_s: time to authorise before the server closes, 0 for ever.
        second_sync: what a second syncrequest on a socket meets.
        forbidden_mix: what a syncrequest with excluding parameters meets.
        max_backlog: bytes that may wait for a slow client before it is dropped.
        messages_per_frame: most events in one frame, 0 for as many as belong together.
        entity_array: `entity` of a props event is an array.
        event_array: `d` of a props message is an array of events.
        string_elements: elements of an `a` frame are JSON strings that hold the object.
        double_errors: texts of errors are encoded twice.
        missing_ms: some date-times have no fraction.
        integer_doubles: doubles with an integral value are written without a fraction.
        nulls: optional fields without a value are written as null.
        unknown_fields: entities carry fields that no specification knows.
        unknown_symbols: some enum fields carry symbols that no specification knows.
        unknown_types: events of an entity type that no specification knows occur.
        unknown_lists: the snapshot holds lists that no specification knows.
        deleted_body: a `Deleted` event carries the full entity or its id alone.
        fill_before_order: fills and reports are sent before the order they belong to.
        duplicates: share of frames that are sent twice.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: str | None = None
    private_key: str | None = None
    seed: int = 1
    accounts: int = 200
    rate: float = 0.0
    roll_every_s: float = 0.0
    roll_resend: int = 0
    deletes: float = 0.01
    name: str | None = None
    password: str | None = None
    bad_login: Literal["errorText", "401"] = "errorText"
    token_lifetime_s: float = 4800.0
    max_sessions: int = 2
    evicted_status: Literal["408", "429", "500"] = "408"
    expired_sockets: Literal["stay", "refuse", "close"] = "stay"
    max_sockets: int = 50
    max_devices: int = 15
    max_addresses: int = 5
    login_limit: int = 0
    renew_limit: int = 0
    me_limit: int = 0
    sync_limit: int = 0
    request_limit: int = 0
    anonymous_limit: int = 0
    anonymous_per_second: int = 0
    penalty_s: int | None = None
    penalty_grows: bool = False
    organisation: bool = True
    split: Split = "A"
    part_event: Literal["Created", "Updated", "none"] = "Updated"
    parts: int = 4
    part_delay_s: float = 0.0
    events_between_parts: bool = False
    snapshot_sharded: bool = True
    snapshot_lag_s: float = 0.0
    shard_by: Literal["owner", "own_id"] = "owner"
    ownerless: Reach = "all"
    user_level: Reach = "all"
    empty_lists: Literal["empty", "absent", "null"] = "empty"
    heartbeat_s: float = 2.5
    heartbeat_when_busy: bool = True
    client_timeout_s: float = 10.0
    authorize_timeout_s: float = 10.0
    second_sync: Literal["error", "close", "ignore"] = "error"
    forbidden_mix: Literal["error", "close", "accept"] = "error"
    max_backlog: int = 256 << 20
    messages_per_frame: int = 0
    entity_array: bool = False
    event_array: bool = False
    string_elements: bool = False
    double_errors: bool = False
    missing_ms: bool = False
    integer_doubles: bool = False
    nulls: bool = False
    unknown_fields: bool = False
    unknown_symbols: bool = False
    unknown_types: bool = False
    unknown_lists: bool = False
    deleted_body: Literal["full", "id"] = "full"
    fill_before_order: bool = False
    duplicates: float = 0.0

    def __post_init__(self) -> None:
        for name, hint in _HINTS.items():
            object.__setattr__(self, name, _checked(name, hint, getattr(self, name)))
        if (self.certificate is None) != (self.private_key is None):
            raise OptionError("certificate and private_key go together")

    def changed(self, values: dict[str, Any]) -> Options:
        """These options with other values, as `POST /sim/options` asks for.

        Raises:
            OptionError: an unknown name, a wrong value, or one that cannot change while the server runs.
        """
        for name in values:
            if name not in _HINTS:
                raise OptionError(f"there is no option {name!r}; known: {', '.join(sorted(_HINTS))}")
            if name in FIXED:
                raise OptionError(f"{name} cannot change while the simulator runs")
        return replace(self, **values)

    def as_json(self) -> dict[str, Any]:
        """The options as plain values, without the password."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "password"}


_HINTS: dict[str, Any] = get_type_hints(Options)


def _checked(name: str, hint: Any, value: Any) -> Any:
    choices = get_args(hint)
    if choices and all(isinstance(c, str) for c in choices):
        if value not in choices:
            raise OptionError(f"{name} is one of {', '.join(choices)}, not {value!r}")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    kinds = choices or (hint,)
    if type(value) not in kinds:
        raise OptionError(f"{name} is {' or '.join(k.__name__ for k in kinds)}, not {value!r}")
    if isinstance(value, (int, float)) and value < 0:
        raise OptionError(f"{name} is not negative")
    return value
