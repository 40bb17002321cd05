"""Getting, renewing and sharing tokens against a real HTTP server."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bridge.errors import AuthorizationRefused
from bridge.source.budget import Budget, BudgetLimits
from bridge.source.credentials import Credentials
from bridge.source.tokenapi import TokenLimits
from bridge.source.tokens import TokenKeeper, TokenTrouble
from tests.component.source.scripted import eventually

US = Credentials(environment="demo", name="acme_admin", password="s3cret", cid="1042", sec="0000-sec")
QUICK = TokenLimits(
    request_s=5,
    spent_s=0.1,
    retry_first_s=0.02,
    retry_cap_s=0.05,
    rate_limited_wait_s=0.3,
    captcha_wait_s=0.4,
    lock_s=20,
)
Answer = Callable[[dict[str, Any]], web.Response]


def granted(value: str, life_s: float = 4800, **more: Any) -> web.Response:
    until = datetime.now(UTC) + timedelta(seconds=life_s)
    return web.json_response(
        {"accessToken": value, "expirationTime": until.isoformat().replace("+00:00", "Z"), "userId": 15460, **more}
    )


class Api:
    """The two endpoints; each call takes the next answer of its list, the last one stays.

    Attributes:
        calls: endpoint, body or bearer, in order.
    """

    def __init__(self, logins: list[Answer], renewals: list[Answer] | None = None) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.logins, self.renewals = logins, renewals or []
        self.url = ""

    async def _login(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.calls.append(("login", body))
        await asyncio.sleep(0.01)
        return self._next(self.logins)(body)

    async def _renew(self, request: web.Request) -> web.Response:
        self.calls.append(("renewal", request.headers["Authorization"]))
        return self._next(self.renewals)({})

    @staticmethod
    def _next(answers: list[Answer]) -> Answer:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    @contextlib.asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[int]:
        app = web.Application()
        app.router.add_post("/v1/auth/accesstokenrequest", self._login)
        app.router.add_get("/v1/auth/renewaccesstoken", self._renew)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/v1/"
        try:
            yield port
        finally:
            await runner.cleanup()


class Owner:
    """A keeper and the troubles it told."""

    def __init__(self, url: str, http: aiohttp.ClientSession, *, budget: BudgetLimits | None = None, **options: Any):
        self.troubles: list[TokenTrouble] = []
        self.budget = Budget(asyncio.get_running_loop().time, budget)
        self.keeper = TokenKeeper(
            url,
            options.pop("credentials", US),
            http,
            budget=self.budget,
            on_trouble=self.troubles.append,
            limits=options.pop("limits", QUICK),
            **options,
        )

    @property
    def causes(self) -> list[str]:
        return [trouble.cause for trouble in self.troubles]


class Wall:
    """The machine's clock, as far wrong as a test wants it."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self.ahead_s = ahead_s

    def __call__(self) -> float:
        return datetime.now(UTC).timestamp() + self.ahead_s


LIFE_S = 4800.0
DUE_S, OVER_S = LIFE_S - 500, LIFE_S + 500
"""How far the clock moves until a token is due for renewal, and until it is over."""


@contextlib.asynccontextmanager
async def owning(api: Api, **options: Any) -> AsyncIterator[Owner]:
    async with api.serve(), aiohttp.ClientSession() as http:
        yield Owner(api.url, http, **options)


@contextlib.asynccontextmanager
async def running(keeper: TokenKeeper) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(keeper.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_one_login_serves_all_shards() -> None:
    api = Api([lambda _: granted("A")])
    async with owning(api) as owner:
        tokens = await asyncio.gather(*(owner.keeper.token() for _ in range(16)))

    assert tokens == ["A"] * 16
    assert api.calls == [("login", {"name": "acme_admin", "password": "s3cret", "cid": "1042", "sec": "0000-sec"})]
    assert owner.keeper.logins == 1
    assert 4790 < owner.keeper.remaining_s <= 4801


@pytest.mark.parametrize("status", [200, 401])
async def test_refused_credentials_are_not_tried_again(status: int) -> None:
    api = Api([lambda _: web.json_response({"errorText": "Incorrect password s3cret."}, status=status)])
    async with owning(api) as owner:
        for _ in range(3):
            with pytest.raises(AuthorizationRefused, match=r"acme_admin.*Incorrect password \*\*\*") as refused:
                await owner.keeper.token()
        with pytest.raises(AuthorizationRefused):
            await owner.keeper.run()

    assert len(api.calls) == 1
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: web.Response(status=503),
        lambda _: web.Response(status=500, text='{"errorText":"down"}'),
        lambda _: web.Response(text="<html>soon</html>"),
        lambda _: web.Response(status=404, text="not here"),
        lambda _: web.json_response({"accessToken": ""}),
        lambda _: web.json_response([]),
        lambda _: web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}),
    ],
)
async def test_an_answer_that_means_nothing_is_asked_for_again(answer: Answer) -> None:
    api = Api([answer, answer, lambda _: granted("A")])
    async with owning(api) as owner:
        assert await owner.keeper.token() == "A"

    assert len(api.calls) == 3
    assert set(owner.causes) <= {"server_error", "unreadable"}
    assert len(owner.troubles) == 2


async def test_an_api_that_is_down_is_waited_for() -> None:
    """Not one of the five logins an hour is spent on a server that never saw them."""
    api = Api([lambda _: granted("A")])
    async with api.serve() as port:
        pass
    async with aiohttp.ClientSession() as http:
        owner = Owner(api.url, http)
        waiting = asyncio.create_task(owner.keeper.token())
        await eventually(lambda: len(owner.troubles) > 6)
        async with api.serve(port):
            token = await waiting

    assert token == "A"
    assert set(owner.causes) == {"unreachable"}


async def test_a_server_fault_is_no_login() -> None:
    """Or a short outage of theirs would use up the five logins of the hour."""
    api = Api([*[lambda _: web.Response(status=502)] * 6, lambda _: granted("A")])
    async with owning(api, budget=BudgetLimits(logins_per_hour=2)) as owner:
        assert await owner.keeper.token() == "A"

    assert owner.keeper.logins == 1


async def test_a_penalty_ticket_is_waited_for_and_sent_back() -> None:
    ticket = {"p-ticket": "b1a2f0c4", "p-time": 0.2, "p-captcha": False}
    api = Api([lambda _: web.json_response(ticket), lambda _: granted("A")])
    async with owning(api) as owner:
        began = asyncio.get_running_loop().time()
        assert await owner.keeper.token() == "A"
        assert asyncio.get_running_loop().time() - began >= 0.2

    assert api.calls[1] == ("login", api.calls[0][1] | {"p-ticket": "b1a2f0c4"})


async def test_a_captcha_is_a_long_stop() -> None:
    captcha = {"p-ticket": "x", "p-time": 0.01, "p-captcha": True}
    api = Api([lambda _: web.json_response(captcha), lambda _: granted("A")])
    async with owning(api) as owner:
        began = asyncio.get_running_loop().time()
        assert await owner.keeper.token() == "A"
        assert asyncio.get_running_loop().time() - began >= 0.4

    assert owner.causes == ["captcha"]
    assert "p-ticket" not in api.calls[1][1]


async def test_penalties_without_end_are_given_a_rest() -> None:
    ticket = {"p-ticket": "x", "p-time": 0.01}
    api = Api([*[lambda _: web.json_response(ticket)] * 3, lambda _: granted("A")])
    async with owning(api, limits=replace(QUICK, penalties=2, longest_penalty_s=0.1)) as owner:
        assert await owner.keeper.token() == "A"

    assert owner.causes == ["penalty"]


async def test_a_rate_limit_is_respected() -> None:
    api = Api([lambda _: web.Response(status=429), lambda _: granted("A")])
    async with owning(api) as owner:
        began = asyncio.get_running_loop().time()
        assert await owner.keeper.token() == "A"
        assert asyncio.get_running_loop().time() - began >= 0.3

    assert owner.causes == ["rate_limited"]


async def test_no_more_logins_than_the_budget_allows() -> None:
    api = Api([lambda _: web.Response(status=404)])
    async with owning(api, budget=BudgetLimits(logins_per_hour=2)) as owner:
        waiting = asyncio.create_task(owner.keeper.token())
        await eventually(lambda: "budget" in owner.causes)
        waiting.cancel()

    assert len(api.calls) == 2
    assert owner.troubles[-1].wait_s > 3500


async def test_a_token_is_renewed_ahead_of_its_end_and_the_newest_is_handed_out() -> None:
    api, wall = Api([lambda _: granted("A")], [lambda _: granted("B")]), Wall()
    async with owning(api, wall=wall) as owner:
        assert await owner.keeper.token() == "A"
        wall.ahead_s = DUE_S
        async with running(owner.keeper):
            await eventually(lambda: owner.keeper.remaining_s > 4000)
        assert await owner.keeper.token() == "B"

    assert [call[0] for call in api.calls] == ["login", "renewal"]
    assert api.calls[1][1] == "Bearer A"
    assert owner.troubles == []


async def test_while_renewing_fails_the_old_token_goes_on_until_it_is_over() -> None:
    api = Api([lambda _: granted("A"), lambda _: granted("C")], [lambda _: web.Response(status=503)])
    wall = Wall()
    async with owning(api, wall=wall, budget=BudgetLimits(renewals_per_hour=10_000)) as owner:
        assert await owner.keeper.token() == "A"
        wall.ahead_s = DUE_S
        async with running(owner.keeper):
            await eventually(lambda: "server_error" in owner.causes)
            assert await owner.keeper.token() == "A"
            wall.ahead_s = OVER_S
            await eventually(lambda: owner.keeper.logins == 2)
            await eventually(lambda: owner.keeper.remaining_s > 4000)
            assert await owner.keeper.token() == "C"


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: web.Response(status=401, text='"Access is denied"'),
        lambda _: web.Response(text="Expired Access Token"),
        lambda _: web.json_response({"errorText": "Expired"}),
    ],
)
async def test_a_token_that_cannot_be_renewed_is_replaced(answer: Answer) -> None:
    api, wall = Api([lambda _: granted("A"), lambda _: granted("B")], [answer]), Wall()
    async with owning(api, wall=wall) as owner:
        await owner.keeper.token()
        wall.ahead_s = DUE_S
        async with running(owner.keeper):
            await eventually(lambda: owner.keeper.remaining_s > 4000)
        assert await owner.keeper.token() == "B"

    assert owner.causes == ["expired"]


async def test_an_invalidated_token_is_replaced_at_once_and_only_once() -> None:
    api = Api([lambda _: granted("A"), lambda _: granted("B")])
    async with owning(api) as owner, running(owner.keeper):
        assert await owner.keeper.token() == "A"
        for _ in range(16):
            owner.keeper.invalidate("A")
        tokens = await asyncio.gather(*(owner.keeper.token() for _ in range(16)))
        owner.keeper.invalidate("A")
        assert await owner.keeper.token() == "B"

    assert set(tokens) == {"B"}
    assert [call[0] for call in api.calls] == ["login", "login"]


async def test_a_token_in_doubt_is_renewed_first() -> None:
    api = Api([lambda _: granted("A")], [lambda _: granted("B")])
    async with owning(api) as owner:
        assert await owner.keeper.token() == "A"
        owner.keeper.invalidate("A", renewable=True)
        assert await owner.keeper.token() == "B"

    assert [call[0] for call in api.calls] == ["login", "renewal"]


@pytest.mark.parametrize("ours_is_ahead_s", [-7200.0, 7200.0])
async def test_a_wrong_clock_of_ours_is_corrected_by_the_servers_date(ours_is_ahead_s: float) -> None:
    api = Api([lambda _: granted("A", life_s=4000)])
    async with owning(api, wall=Wall(ours_is_ahead_s)) as owner:
        await owner.keeper.token()

        assert owner.keeper.remaining_s == pytest.approx(4000, abs=10)


@pytest.mark.parametrize("time", ["soon", None, "2020-01-01T00:00:00Z"])
async def test_an_end_that_cannot_be_true_is_replaced_by_a_careful_guess(time: str | None) -> None:
    api = Api([lambda _: web.json_response({"accessToken": "A", "expirationTime": time})])
    async with owning(api) as owner:
        assert await owner.keeper.token() == "A"

        assert owner.keeper.remaining_s == pytest.approx(1800, abs=10)


# Persistence


async def test_a_restart_goes_on_with_the_token(tmp_path: Path) -> None:
    api = Api([lambda _: granted("A"), lambda _: granted("B")])
    async with owning(api, token_path=tmp_path / "token") as owner:
        assert await owner.keeper.token() == "A"
    async with owning(api, token_path=tmp_path / "token") as owner:
        assert await owner.keeper.token() == "A"
        assert owner.keeper.remaining_s > 4700

    assert len(api.calls) == 1


@pytest.mark.parametrize(
    "credentials", [replace(US, name="other"), replace(US, environment="live")], ids=["name", "environment"]
)
async def test_a_token_of_someone_else_is_not_used(tmp_path: Path, credentials: Credentials) -> None:
    api = Api([lambda _: granted("A"), lambda _: granted("B")])
    async with owning(api, token_path=tmp_path / "token") as owner:
        await owner.keeper.token()
    async with owning(api, token_path=tmp_path / "token", credentials=credentials) as owner:
        assert await owner.keeper.token() == "B"


async def test_a_spent_token_in_the_file_is_not_used(tmp_path: Path) -> None:
    api = Api([lambda _: granted("A"), lambda _: granted("B")])
    async with owning(api, token_path=tmp_path / "token") as owner:
        await owner.keeper.token()
    async with owning(api, token_path=tmp_path / "token", wall=Wall(OVER_S)) as owner:
        assert await owner.keeper.token() == "B"


async def test_an_invalidated_token_is_not_taken_back_from_the_file(tmp_path: Path) -> None:
    api = Api([lambda _: granted("A"), lambda _: granted("B")])
    async with owning(api, token_path=tmp_path / "token") as owner:
        await owner.keeper.token()
        owner.keeper.invalidate("A")

        assert await owner.keeper.token() == "B"


async def test_a_token_that_another_process_renewed_is_taken_over(tmp_path: Path) -> None:
    api, wall = Api([lambda _: granted("A")], [lambda _: granted("B")]), Wall()
    async with api.serve(), aiohttp.ClientSession() as http:
        owners = [Owner(api.url, http, token_path=tmp_path / "token", wall=wall) for _ in range(2)]
        before = [await owner.keeper.token() for owner in owners]
        wall.ahead_s = DUE_S
        async with running(owners[0].keeper), running(owners[1].keeper):
            await eventually(lambda: all(owner.keeper.remaining_s > 4000 for owner in owners))
        tokens = [await owner.keeper.token() for owner in owners]

    assert before == ["A", "A"]
    assert tokens == ["B", "B"]
    assert [call[0] for call in api.calls] == ["login", "renewal"]


@pytest.mark.parametrize("content", ["", "{}", '{"version":9}'])
async def test_a_file_that_is_none_is_told_and_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    api = Api([lambda _: granted("A")])
    async with owning(api, token_path=path) as owner:
        assert await owner.keeper.token() == "A"

    assert owner.causes == ["token_file"]
    assert json.loads(path.read_text())["value"] == "A"


async def test_a_file_that_cannot_be_written_is_told_and_gone_without(tmp_path: Path) -> None:
    api = Api([lambda _: granted("A")])
    async with owning(api, token_path=tmp_path / "no" / "token") as owner:
        assert await owner.keeper.token() == "A"

    assert owner.causes == ["token_file", "token_file"]


async def test_processes_that_start_together_log_in_once(tmp_path: Path) -> None:
    """Real processes, one lock."""
    script = (
        "import asyncio, sys, aiohttp, pathlib\n"
        "from bridge.source.budget import Budget\n"
        "from bridge.source.credentials import Credentials\n"
        "from bridge.source.tokens import TokenKeeper\n"
        "async def main():\n"
        "    async with aiohttp.ClientSession() as http:\n"
        "        keeper = TokenKeeper(sys.argv[1], Credentials(environment='demo', name='n', password='p'), http,\n"
        "            budget=Budget(asyncio.get_running_loop().time), on_trouble=print,\n"
        "            token_path=pathlib.Path(sys.argv[2]))\n"
        "        print(await keeper.token())\n"
        "asyncio.run(main())\n"
    )
    api = Api([lambda _: granted("A"), lambda _: granted("B")])
    async with api.serve():
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", script, api.url, str(tmp_path / "token"), stdout=asyncio.subprocess.PIPE
            )
            for _ in range(4)
        ]
        said = [(await process.communicate())[0] for process in processes]

    assert said == [b"A\n"] * 4
    assert len(api.calls) == 1
