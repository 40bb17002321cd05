"""Settings: where they come from, what wins, and the sentence a user reads when one is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from bridge.config import Kafka, Settings, keys, load
from bridge.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variables of the machine, and a working directory without a syncbridge.toml."""
    import os

    for name in list(os.environ):
        if name.upper().startswith("SYNCBRIDGE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def toml(text: str, name: str = "bridge.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(text: str = "") -> str:
    with pytest.raises(ConfigurationError) as refused:
        load(toml(text) if text else None)
    return str(refused.value)


def test_defaults_are_those_of_the_contract() -> None:
    settings = load()
    assert settings.prefix == "tradovate.demo"
    assert settings.source.rest_url == "https://demo.tradovateapi.com/v1"
    assert settings.source.socket_url == "wss://demo.tradovateapi.com/v1/websocket"
    assert (settings.source.max_sockets, settings.source.connect_burst) == (40, 4)
    assert settings.sharding.expression == "modAccountId"
    assert (settings.sharding.divisor, settings.sharding.remainders) == (4, (0, 1, 2, 3))
    assert (settings.kafka.bootstrap_servers, settings.kafka.delivery) == ("127.0.0.1:9092", "exactly_once")
    assert (settings.kafka.commit_interval_ms, settings.kafka.max_record_bytes) == (5, 900 * 1024)
    assert settings.kafka.transaction_timeout_ms == 60_000
    assert settings.registry.url is None
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8080)


def test_live_environment_has_its_own_hosts_and_prefix() -> None:
    settings = load(overrides={"source": {"environment": "live"}})
    assert settings.source.rest_url == "https://live.tradovateapi.com/v1"
    assert settings.prefix == "tradovate.live"


def test_given_prefix_wins_over_the_environments_name() -> None:
    assert load(overrides={"kafka": {"topic_prefix": "firm.orders"}}).prefix == "firm.orders"


def test_file_of_the_working_directory_is_found() -> None:
    toml("[http]\nport = 1234", "syncbridge.toml")
    assert load().http.port == 1234


def test_environment_wins_over_arguments_and_arguments_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    path = toml("[http]\nport = 1\nhost = 'from-file'\n[sharding]\ndivisor = 2")
    monkeypatch.setenv("SYNCBRIDGE_HTTP__PORT", "3")
    settings = load(path, {"http": {"port": 2}, "sharding": {"divisor": 3}})
    assert (settings.http.port, settings.http.host, settings.sharding.divisor) == (3, "from-file", 3)


def test_lists_and_sections_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCBRIDGE_SHARDING__REMAINDERS", "[1, 3]")
    monkeypatch.setenv("SYNCBRIDGE_HTTP", '{"port": 9}')
    settings = load()
    assert (settings.sharding.remainders, settings.http.port) == ((1, 3), 9)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SYNCBRIDGE_SHARDING__REMAINDERS", "0,1", "SYNCBRIDGE_SHARDING__REMAINDERS must be JSON, a list"),
        ("SYNCBRIDGE_SOURCE__ENTITY_TYPES", "order,fill", "SYNCBRIDGE_SOURCE__ENTITY_TYPES must be JSON, a list"),
        ("syncbridge_source", "s3cret", "syncbridge_source must be JSON, an object"),
        ("SYNCBRIDGE_HTTP__PORT", "s3cret", "http.port: Input should be a valid integer"),
    ],
)
def test_unreadable_variable_is_named_but_not_quoted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    assert sentence in refusal()
    assert value not in refusal()


def test_variables_of_the_embedded_kafka_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCBRIDGE_CACHE", "/somewhere")
    monkeypatch.setenv("SYNCBRIDGE_MAVEN_URL", "https://mirror.example.com")
    assert load().prefix == "tradovate.demo"


def test_unknown_variable_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCBRIDGE_SOURCE__PASSWORT", "s3cret")
    sentence = refusal()
    assert sentence == (
        "unknown environment variable SYNCBRIDGE_SOURCE__PASSWORT; did you mean SYNCBRIDGE_SOURCE__PASSWORD?"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[kafka]\ncomit_interval_ms = 5", "unknown configuration key kafka.comit_interval_ms; did you mean "),
        ("[kafak]\ndelivery = 'x'", "unknown configuration key kafak; did you mean kafka?"),
        ("zzzzzzz = 1", "unknown configuration key zzzzzzz"),
        ("source = 1", "source: Input should be a valid dictionary"),
        ("[source", "bridge.toml is not valid TOML"),
        ("[sharding]\ndivisor = 0", "sharding.divisor: Input should be greater than or equal to 1"),
        ("[sharding]\ndivisor = 1025", "sharding.divisor: Input should be less than or equal to 1024"),
        ("[sharding]\ndivisor = 2\nremainders = [0, 2]", "remainders must lie in 0..1 for divisor 2, not [2]"),
        ("[sharding]\nremainders = [-1]", "remainders must lie in 0..3 for divisor 4, not [-1]"),
        ("[sharding]\nremainders = [1, 1]", "remainders must not repeat"),
        ("[sharding]\nexpression = 'modId'", "sharding.expression: Input should be 'modAccountId' or 'modUserId'"),
        ("[sharding]\nforeign = 'drop'", "sharding.foreign: Input should be 'auto', 'publish' or 'skip'"),
        ("[sharding]\ndivisor = 41", "41 shards need 41 sockets but source.max_sockets is 40: lower sharding.divisor"),
        ("[source]\nmax_sockets = 51", "source.max_sockets: Input should be less than or equal to 50"),
        ("[source]\nmax_sockets = 3", "4 shards need 4 sockets but source.max_sockets is 3"),
        ("[source]\nheartbeat_s = 2.6", "source.heartbeat_s: Input should be less than or equal to 2.5"),
        ("[source]\nenvironment = 'De mo'", "source.environment: String should match pattern"),
        ("[source]\nrest_url = 'ftp://h'", "source.rest_url must be an address that begins with http:// or https://"),
        ("[source]\nsocket_url = 'https://h'", "source.socket_url must be an address that begins with ws:// or wss://"),
        ("[source]\nrest_url = 'https://'", "source.rest_url must be an address"),
        ("[source]\nrest_url = 'http://[::1'", "source.rest_url is not an address"),
        (
            "[source]\nrest_url = 'http://api.example.com/v1'",
            "source.rest_url would send the token unencrypted to api.example.com: use https://",
        ),
        ("[source]\nsocket_url = 'ws://10.0.0.1'", "source.socket_url would send the token unencrypted to 10.0.0.1"),
        ("[source]\nrest_url = 'https://me:pw@h'", "source.rest_url must not carry credentials; use source.name and"),
        ("[registry]\nurl = 'http://me:pw@h'", "registry.url must not carry credentials; use registry.username"),
        ("[registry]\nurl = 'registry:8081'", "registry.url must be an address that begins with http:// or https://"),
        ("[kafka]\ndelivery = 'once'", "kafka.delivery: Input should be 'exactly_once' or 'at_least_once'"),
        ("[kafka]\ntopic_prefix = 'a b'", "kafka.topic_prefix: String should match pattern"),
        ("[kafka]\ncommit_interval_ms = 0", "kafka.commit_interval_ms: Input should be greater than or equal to 1"),
        ("[kafka]\nmax_record_bytes = 1024", "kafka.max_record_bytes: Input should be greater than or equal to 65536"),
        ("[http]\nport = 65536", "http.port: Input should be less than or equal to 65535"),
        ("[log]\nlevel = 'loud'", "log.level: Input should be 'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_wrong_value_gives_a_sentence(text: str, sentence: str) -> None:
    assert sentence in refusal(text)


def test_all_wrong_values_are_named_at_once() -> None:
    sentence = refusal("[http]\nport = -1\n[sharding]\ndivisor = 0")
    assert "http.port" in sentence
    assert "sharding.divisor" in sentence


def test_missing_file_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"the configuration file nowhere\.toml does not exist"):
        load(Path("nowhere.toml"))


def test_file_that_is_not_utf8_is_refused_without_a_traceback() -> None:
    path = Path("latin.toml")
    path.write_bytes(b'[source]\nname = "\xff"')
    with pytest.raises(ConfigurationError, match=r"latin\.toml is not valid TOML"):
        load(path)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_plain_http_is_allowed_to_this_machine(host: str) -> None:
    source = {"rest_url": f"http://{host}:1/v1", "socket_url": f"ws://{host}:1/v1/websocket"}
    assert load(overrides={"source": source}).source.rest_url.startswith("http://")


def test_plain_http_elsewhere_must_be_asked_for() -> None:
    source = {"rest_url": "http://h", "socket_url": "ws://h", "allow_insecure": True}
    assert load(overrides={"source": source}).source.rest_url == "http://h"


def test_fewer_remainders_need_fewer_sockets() -> None:
    assert load(overrides={"sharding": {"divisor": 100, "remainders": [7, 99]}}).sharding.remainders == (7, 99)


SECRETS = (
    ("source", "password"),
    ("source", "sec"),
    ("source", "proxy"),
    ("kafka", "sasl_password"),
    ("kafka", "sasl_token"),
    ("kafka", "ssl_password"),
    ("registry", "password"),
    ("http", "admin_token"),
)


@pytest.mark.parametrize(("section", "key"), SECRETS)
def test_secret_comes_from_a_file_and_is_never_shown(section: str, key: str) -> None:
    Path("secret").write_text("http://s3cret@h:1\n", encoding="utf-8")  # also an address of a proxy
    settings = load(overrides={section: {f"{key}_file": "secret"}})
    secret = getattr(getattr(settings, section), key)
    assert isinstance(secret, SecretStr)
    assert secret.get_secret_value() == "http://s3cret@h:1"
    assert "s3cret" not in f"{settings!r} {settings!s} {settings.model_dump()!r} {settings.model_dump_json()}"


def test_every_secret_has_a_file_key_and_is_tried_above() -> None:
    secret = {
        (section, key.removesuffix("_file"))
        for section, key in (name.split(".") for name in keys())
        if f"{section}.{key}_file" in keys()
    }
    assert secret == set(SECRETS)
    named = {key for key in keys() if key.endswith(("password", "secret", "sec", "_token", "proxy"))}
    assert named == {f"{section}.{key}" for section, key in SECRETS}


def test_secret_given_twice_is_refused_without_showing_it() -> None:
    Path("secret").write_text("s3cret", encoding="utf-8")
    sentence = refusal("[source]\npassword = 'other'\npassword_file = 'secret'")
    assert sentence == "source: give either password or password_file, not both"


def test_unreadable_secret_file_is_named() -> None:
    assert "cannot read password_file nowhere: No such file or directory" in refusal(
        "[source]\npassword_file = 'nowhere'"
    )


def test_error_beside_a_secret_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCBRIDGE_SOURCE__PASSWORD", "s3cret")
    assert "s3cret" not in refusal("[source]\nmax_sockets = 0\npasword = 's3cret'")


def test_settings_are_frozen() -> None:
    settings = load()
    with pytest.raises(ValidationError):
        settings.kafka.delivery = "at_least_once"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.kafka = Kafka()  # type: ignore[misc]


def test_keys_lists_every_key_with_its_default() -> None:
    assert keys()["kafka.delivery"] == "exactly_once"
    assert {key.partition(".")[0] for key in keys()} == set(Settings.model_fields)
