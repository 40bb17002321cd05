"""Sockets for audits: only what the shards' own sockets leave free, and only a part of the syncrequests."""

from __future__ import annotations

from bridge.source.broker import Broker
from bridge.source.conversation import Conversation, Listener
from bridge.source.plan import SyncPlan


class SpareSource:
    """Makes conversations that ask for what a shard asks for, on other sockets."""

    def __init__(self, broker: Broker, plan: SyncPlan) -> None:
        self._broker, self._plan = broker, plan

    def hindrance(self) -> str | None:
        """Why there should be none now: `hold`, `no_socket` or `no_syncrequest`; None if there may be one."""
        return self._broker.budget.audit_hindrance()

    def converse(self, listener: Listener) -> Conversation:
        """A new conversation, not yet begun."""
        return Conversation(self._broker, self._plan, listener, self._broker.budget.spare)
