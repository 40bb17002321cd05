import pytest

from bridge.source.credentials import Credentials, Token, without_userinfo

US = Credentials(environment="demo", name="acme_admin", password="s3cret", cid=1042, sec="0000-sec")
TOKEN = Token(value="eyJ.A", expires_at=5000.0, life_s=4800.0, skew_s=100.0, name="acme_admin", environment="demo")


def test_only_what_is_set_is_sent_and_the_ticket_is_added_to_the_same_body() -> None:
    assert US.body() == {"name": "acme_admin", "password": "s3cret", "cid": 1042, "sec": "0000-sec"}
    assert US.body("b1a2") == US.body() | {"p-ticket": "b1a2"}


def test_all_fields_have_the_names_of_the_wire() -> None:
    full = Credentials(
        environment="demo", name="n", password="p", app_id="a", app_version="1", device_id="d", cid="7", sec="s"
    )

    assert set(full.body()) == {"name", "password", "appId", "appVersion", "deviceId", "cid", "sec"}


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(US)
    assert "0000-sec" not in repr(US)
    assert "eyJ" not in repr(TOKEN)
    assert US.scrub("wrong s3cret for 0000-sec") == "wrong *** for ***"


def test_time_left_is_the_servers() -> None:
    assert TOKEN.remaining_s(wall=1000.0) == 3900


@pytest.mark.parametrize(("longest_s", "margin_s"), [(900, 900), (3600, 1200)])
def test_the_margin_is_at_most_a_quarter_of_the_life(longest_s: float, margin_s: float) -> None:
    assert TOKEN.margin_s(longest_s) == margin_s


def test_a_token_belongs_to_one_user_in_one_environment() -> None:
    assert TOKEN.belongs_to(US)
    assert not TOKEN.belongs_to(Credentials(environment="live", name="acme_admin", password="p"))
    assert not TOKEN.belongs_to(Credentials(environment="demo", name="other", password="p"))


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("407, url='http://me:p@ss@proxy:1'", "407, url='http://***@proxy:1'"),
        ("http://me@a and https://b/x@y", "http://***@a and https://b/x@y"),
        ("to proxy:1 as me@home", "to proxy:1 as me@home"),
    ],
)
def test_addresses_lose_their_passwords(text: str, clean: str) -> None:
    assert without_userinfo(text) == clean
