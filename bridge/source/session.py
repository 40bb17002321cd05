"""One socket session of the broker, from the server's greeting to its end, without any I/O.

Owns the handshake, the permission to sync, penalties, heartbeats, silence and the snapshot's bounds. Refuses to know
sockets, clocks and threads: bytes and the time come in; data, texts to send, events and the next deadline come out.

Rule: any bytes are understood or end the session with a `SessionLost`; never another exception, never growth.
`now` is in seconds of any clock that does not jump.

The shell's duties after every call: send what `data_to_send()` gives, handle what `events()` gives (both only when
`pending` is true), and call `handle_timer(now)` at `deadline()`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Any

from bridge.errors import SessionLost, Unread
from bridge.source import batches, frames, refusals
from bridge.source.events import Authorized, Ended, Penalized, SessionEvent, SnapshotPart, SyncSent
from bridge.source.forward import AUTHORIZE_ID, carries_data, events
from bridge.source.frames import Kind
from bridge.source.messages import Penalty, Response, Shutdown, business_failure
from bridge.source.plan import SyncPlan
from bridge.source.refusals import SessionLimits
from bridge.source.snapshot import SnapshotTally
from bridge.source.states import NEXT, Signal, State

_NEVER = math.inf


class Session:
    """The life of one socket.

    Attributes:
        state: where it is.
        lost: why it ended, None while it lives.
        pending: True if there may be something in `data_to_send()` or `events()`.
        snapshot: what the snapshot has brought so far.
        rewritten: the frame just received in the form in which it was handed on, None if that is how it came.
    """

    def __init__(self, plan: SyncPlan, token: str, *, now: float, limits: SessionLimits | None = None) -> None:
        self.plan = plan
        self.limits = limits or SessionLimits()
        self.state = State.OPENING
        self.lost: SessionLost | None = None
        self.pending = False
        self.rewritten: bytes | None = None
        self.snapshot = SnapshotTally(self.limits.remembered_types, self.limits.remembered_keys)
        self._token = token
        self._allowed = False
        self._paused_at: float | None = None
        self._attempts = 0
        self._ticket = ""
        self._outgoing: list[str] = []
        self._events: list[SessionEvent] = []
        self._frame_bytes = self.limits.frame_bytes
        self._heard_at = now
        self._heartbeat_at = _NEVER
        self._answer_by = now + self.limits.open_s
        self._sync_at = _NEVER
        self._quiet_at = _NEVER

    def __repr__(self) -> str:
        return f"Session({self.state.value}, remainder={self.plan.remainder}, lost={self.lost})"

    @property
    def is_live(self) -> bool:
        """Whether frames that hold nothing but `props` events may be taken without being shown to the session.

        All of them are for the consumer then, and change nothing here; `heard` must be told of them.
        """
        return self.state is State.SYNCED

    # What comes in

    def opened(self, now: float) -> None:
        """The socket is open: the waits for the server count from here. For shells that build the session earlier."""
        if self.state is State.OPENING:
            self._heard_at = now
            self._answer_by = now + self.limits.open_s

    def receive(self, raw: bytes, now: float) -> list[Any] | None:
        """Take one whole frame.

        Args:
            raw: the text message as bytes.
            now: when it arrived.

        Returns:
            The messages that are for the consumer, in order, for `rows()`; None if there are none.
        """
        self._heard_at = now
        self.rewritten = None
        plain = events(raw) if self.state is State.SYNCED and len(raw) <= self._frame_bytes else None
        return plain or self._receive_with_care(raw, now)

    def heard(self, now: float) -> None:
        """Some bytes arrived, though not yet a whole frame: the server lives."""
        self._heard_at = now

    def allow_sync(self, now: float) -> None:
        """Permit the syncrequest. It goes out at once, or as soon as the token is accepted."""
        self._allowed = True
        if self.state is State.AUTHORIZED:
            self._send_sync(now)

    def pause(self, now: float) -> None:
        """The shell stops reading: silence is no sign of anything now. Heartbeats go on."""
        if self._paused_at is None:
            self._paused_at = now

    def resume(self, now: float) -> None:
        """The shell reads again: waits for the server go on where they stopped."""
        if self._paused_at is not None:
            self._postpone(now - self._paused_at)
            self._paused_at = None

    def closed(self, code: int | None, reason: str, now: float) -> None:
        """The connection is gone: closed by the server with a code, or dropped (None or 1006)."""
        self.heard(now)
        dropped = code is None or code == 1006
        self.fail(SessionLost("dropped" if dropped else "closed", frames.plain_text(reason), code=code))

    def fail(self, lost: SessionLost) -> None:
        """End the session for a reason of the shell. The first reason stands."""
        if self.lost is None:
            if lost.unread is not None:
                lost.unread = self._without_token(lost.unread)
            self.lost = lost
            self.state = State.ENDED
            self.pending = True
            self._outgoing.clear()
            self._events.append(Ended(lost))

    # What goes out

    def deadline(self) -> float:
        """Tell when `handle_timer` is to be called, at the latest; infinity when the session has ended."""
        if self.state is State.ENDED:
            return _NEVER
        ours = min(self._heartbeat_at, self._sync_at)
        if self._paused_at is not None:
            return ours
        return min(ours, self._quiet_at, self._answer_by, self._heard_at + self.limits.idle_s)

    def handle_timer(self, now: float) -> None:
        """Do what is due. Too early a call does no harm."""
        late = now - self.deadline()
        if self.state is State.ENDED or late < 0:
            return
        if late > self.limits.stall_s and self._paused_at is None:
            # What the server sent meanwhile lies unread in the socket: it gets the time back in which nobody listened.
            self._postpone(late)
        if now >= self._heartbeat_at:
            self._send(frames.HEARTBEAT)
            self._heartbeat_at = now + self.limits.heartbeat_s
        if now >= self._sync_at:
            self._send_sync(now)
        if self._paused_at is None:
            self._judge_silence(now)

    def data_to_send(self) -> list[str]:
        """Give the text messages to send now, in order, once."""
        self.pending = bool(self._events)
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def events(self) -> list[SessionEvent]:
        """Give what happened since the last call, in order, once."""
        self.pending = bool(self._outgoing)
        events, self._events = self._events, []
        return events

    # Frames

    def _receive_with_care(self, raw: bytes, now: float) -> list[Any] | None:
        if self.state is State.ENDED:
            return None
        if len(raw) > self._frame_bytes:
            reason = f"a frame of {len(raw)} bytes; the limit is {self._frame_bytes}"
            self.fail(SessionLost("oversized", reason, unread=_unread(raw)))
            return None
        match frames.classify(raw):
            case Kind.HEARTBEAT:
                return None
            case Kind.ARRAY:
                return self._receive_array(raw, now)
            case Kind.OPEN:
                self._greeted(now)
            case Kind.CLOSE:
                code, reason = frames.close_reason(raw)
                self.fail(SessionLost("go_away", self._scrubbed(reason), code=code))
            case Kind.GARBAGE:
                self._garbage(raw, "it begins like no frame of the protocol")
        return None

    def _receive_array(self, raw: bytes, now: float) -> list[Any] | None:
        try:
            messages = frames.elements(raw)
        except ValueError as error:
            self._garbage(raw, str(error))
            return None
        if self._snapshot_arrives(messages):
            messages = self._told_apart(raw, messages)
        return [message for message in messages if self._take(message, now)] or None

    def _snapshot_arrives(self, messages: list[Any]) -> bool:
        """Whether arrays of entities are parts of the snapshot now: from its first answer until it is complete."""
        answered = any(isinstance(message, dict) and "e" not in message and "s" in message for message in messages)
        return self.state is State.SNAPSHOT or (self.state in {State.SYNCING, State.PENALIZED} and answered)

    def _told_apart(self, raw: bytes, messages: list[Any]) -> list[Any]:
        try:
            self.rewritten = batches.told_apart(raw, messages, self._attempts, self.snapshot.told)
        except ValueError:
            return messages  # too deep to be written again: goes on as it came, and ends as a dead letter
        return messages if self.rewritten is None else frames.elements(self.rewritten)

    def _take(self, message: Any, now: float) -> bool:
        """Act on one message; say whether it is for the consumer."""
        wanted = carries_data(message)
        if isinstance(message, dict):
            if message.get("e") == "shutdown":
                self.fail(self._clean(refusals.shut_down(Shutdown.of(message.get("d")), self.limits)))
            elif "e" not in message and ("i" in message or "s" in message):
                self._take_response(message, now)
        return wanted

    def _take_response(self, message: dict[str, Any], now: float) -> None:
        answer = Response.of(message)
        if self.state is State.ENDED:
            return
        if answer.i == AUTHORIZE_ID or self.state is State.AUTHORIZING:
            self._take_authorize_answer(answer, now)
        elif answer.s != 200:
            self.fail(self._clean(refusals.sync_refused(answer.s, frames.plain_text(answer.d), self.limits)))
        elif (penalty := Penalty.of(answer.d)) is not None:
            self._take_penalty(penalty, now)
        elif (failure := business_failure(answer.d)) is not None:
            self.fail(self._clean(refusals.sync_refused(200, failure, self.limits)))
        elif self._move(Signal.PART):
            # Whatever id it bears: a penalised request may be answered under its old id or its new one.
            self._answer_by = _NEVER
            self._sync_at = _NEVER
            self._note_part(message, now)

    def _take_authorize_answer(self, answer: Response, now: float) -> None:
        refusal = business_failure(answer.d)
        penalty = Penalty.of(answer.d)
        if answer.s != 200 or refusal is not None:
            reason = refusal or frames.plain_text(answer.d)
            self.fail(self._clean(refusals.authorize_refused(answer.s, reason, self.limits)))
        elif penalty is not None:
            self.fail(self._clean(refusals.penalized(penalty, self.limits)))
        elif answer.i == AUTHORIZE_ID and self.state is State.AUTHORIZING:
            self._accepted(now)

    # Transitions

    def _move(self, signal: Signal) -> bool:
        """Follow the table; what it does not hold ends the session."""
        following = NEXT.get((self.state, signal))
        if following is None:
            self.fail(SessionLost("unexpected", f"{signal.value} in state {self.state.value}"))
            return False
        self.state = following
        return True

    def _greeted(self, now: float) -> None:
        if self._move(Signal.GREETED):
            self._answer_by = now + self.limits.authorize_s
            self._heartbeat_at = now + self.limits.heartbeat_s
            self._send(frames.request("authorize", AUTHORIZE_ID, self._token))

    def _accepted(self, now: float) -> None:
        if self._move(Signal.ACCEPTED):
            self._answer_by = _NEVER
            self._tell(Authorized())
            if self._allowed:
                self._send_sync(now)

    def _send_sync(self, now: float) -> None:
        if self._move(Signal.SYNC_SENT):
            self._attempts += 1
            self._sync_at = _NEVER
            self._answer_by = now + self.limits.sync_s
            self._send(frames.request("user/syncrequest", self._attempts, self.plan.body(self._ticket)))
            self._tell(SyncSent(self._attempts, self._attempts))

    def _take_penalty(self, penalty: Penalty, now: float) -> None:
        endless = self._attempts > self.limits.penalties or penalty.seconds > self.limits.longest_penalty_s
        if penalty.captcha or endless:
            self.fail(self._clean(refusals.penalized(penalty, self.limits)))
        elif self._move(Signal.PENALTY):
            self._ticket = penalty.ticket
            self._answer_by = _NEVER
            self._sync_at = now + penalty.seconds
            self._tell(Penalized(penalty))

    def _note_part(self, part: Any, now: float) -> None:
        counts, null_lists = self.snapshot.add(part)
        self._tell(SnapshotPart(counts, null_lists, late=self.state is State.SYNCED))
        if self.state is State.SNAPSHOT:
            self._quiet_at = now + self.limits.snapshot_quiet_s

    def _judge_silence(self, now: float) -> None:
        if now >= self._quiet_at and self._move(Signal.QUIET):
            self._quiet_at = _NEVER
            self._tell(self.snapshot.complete())
        if now >= self._heard_at + self.limits.idle_s:
            self.fail(SessionLost("idle", f"no byte for {self.limits.idle_s:g} s"))
        elif now >= self._answer_by:
            self.fail(SessionLost(f"{self.state.value}_timeout", "the server did not answer in time"))

    def _postpone(self, seconds: float) -> None:
        self._heard_at += seconds
        self._answer_by += seconds
        self._quiet_at += seconds

    # Small change

    def _send(self, text: str) -> None:
        self._outgoing.append(text)
        self.pending = True

    def _tell(self, event: SessionEvent) -> None:
        self._events.append(event)
        self.pending = True

    def _garbage(self, raw: bytes, reason: str) -> None:
        self.fail(SessionLost("garbage", self._scrubbed(reason), unread=_unread(raw)))

    def _without_token(self, unread: Unread) -> Unread:
        raw = unread.raw.replace(self._token.encode(), b"***") if self._token else unread.raw
        return replace(unread, raw=raw[: self.limits.kept_raw_bytes])

    def _clean(self, lost: SessionLost) -> SessionLost:
        """Keep the token out of reasons that quote the server."""
        return SessionLost(lost.cause, self._scrubbed(lost.reason), code=lost.code, wait_s=lost.wait_s)

    def _scrubbed(self, text: str) -> str:
        return text.replace(self._token, "***") if self._token else text


def _unread(raw: bytes) -> Unread:
    return Unread(raw, len(raw), hashlib.sha256(raw).hexdigest())
