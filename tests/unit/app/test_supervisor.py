"""What is dealt out, and what is refused before anything is started."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.app.source import budget_limits
from bridge.app.supervisor import Supervisor, shared_out
from bridge.app.worker import Order, narrowed
from bridge.config import Settings
from bridge.errors import ConfigurationError
from bridge.source.budget import BudgetLimits

SECRET = "correct-horse"


def settings(**sections: object) -> Settings:
    return Settings.model_validate({"source": {"name": "acme", "password": SECRET}, **sections})


@given(st.lists(st.integers(1, 10), min_size=1, max_size=4), st.integers(0, 30))
def test_limits_of_all_workers_stay_below_those_of_one_process(shards: list[int], spare: int) -> None:
    whole = BudgetLimits(sockets=sum(shards) + spare, spare_sockets=spare)
    shares = shared_out(whole, shards)

    for name in ("sockets", "spare_sockets", "syncrequests_per_hour", "renewals_per_hour", "connect_burst"):
        assert sum(getattr(share, name) for share in shares) <= getattr(whole, name), name
    assert sum(share.logins_per_hour for share in shares) + 1 == whole.logins_per_hour, "one is the supervisor's"
    assert sum(share.connect_rate for share in shares) == pytest.approx(whole.connect_rate)
    assert [share.sockets - share.spare_sockets for share in shares] == shards
    assert sum(share.sockets for share in shares) == whole.sockets


def test_of_many_workers_each_can_do_everything_at_least_once() -> None:
    for share in shared_out(budget_limits(settings(sharding={"divisor": 20})), [1] * 20):
        assert min(share.logins_per_hour, share.renewals_per_hour, share.connect_burst) == 1
        assert (share.sockets, share.syncrequests_per_hour) == (2, 15)


def test_a_worker_gets_its_share_and_no_secret() -> None:
    order = Order(
        worker=2,
        supervisor=1,
        config=None,
        shards=(1, 3),
        token_path="/somewhere/token",
        token_folder=None,
        limits=BudgetLimits(),
        hold_s=59.5,
    )
    sent = orjson.dumps(order.message())

    assert Order.read(orjson.loads(sent)) == order
    whole = settings(http={"port": 8080, "host": "192.0.2.1"})
    mine = narrowed(whole, order)
    assert mine.sharding.remainders == (1, 3)
    assert (mine.http.host, mine.http.port) == ("127.0.0.1", 0)
    assert str(mine.source.token_path) == "/somewhere/token"
    assert mine.source.password.get_secret_value() == SECRET
    assert SECRET not in sent.decode()
    assert mine.model_dump(exclude={"http", "sharding", "source"}) == whole.model_dump(
        exclude={"http", "sharding", "source"}
    )


@pytest.mark.parametrize(
    ("changes", "workers", "sentence"),
    [
        ({"sharding": {"remainders": [1, 2]}}, 3, "--workers 3 is more than the 2 shards of this process"),
        ({"source": {}}, 2, "source.name is empty"),
        ({"source": {"name": "acme", "users": [1]}}, 2, "source.users and source.accounts cannot be combined"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, object], workers: int, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        Supervisor(settings(**changes), None, workers, "nothing")
