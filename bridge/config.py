"""Settings: one TOML file and environment variables `SYNCBRIDGE_<SECTION>__<KEY>`, which win.

Owns names, defaults, ranges and the sentence a user reads when one is wrong. Everything is frozen after loading.
docs/configuration.md lists every key; a test holds the two together.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from bridge.errors import ConfigurationError
from bridge.loopback import is_loopback

ENV_PREFIX = "SYNCBRIDGE_"
DEFAULT_FILE = Path("syncbridge.toml")
OTHER_VARIABLES = (f"{ENV_PREFIX}CACHE", f"{ENV_PREFIX}MAVEN_URL", f"{ENV_PREFIX}PURE")
"""Variables of ours that are not settings: they belong to the embedded Kafka."""
DEMO_HOST, LIVE_HOST = "demo.tradovateapi.com", "live.tradovateapi.com"


class Section(BaseModel):
    """Base of all sections: frozen, and strangers are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, data: Any) -> Any:
        """Fill `x` from the file named by `x_file`, so that secrets need not stand in an environment or a TOML file."""
        if not isinstance(data, dict):
            return data
        filled = dict(data)
        for key, path in data.items():
            name = key.removesuffix("_file")
            if name != key and name in cls.model_fields and isinstance(path, str | Path):
                if data.get(name):
                    raise ValueError(f"give either {name} or {key}, not both")
                try:
                    filled[name] = Path(path).read_text(encoding="utf-8").strip()
                except OSError as error:
                    raise ValueError(f"cannot read {key} {path}: {error.strerror}") from error
        return filled


class Source(Section):
    """The broker's API and the user we are there."""

    environment: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")] = "demo"
    rest_url: str = ""
    socket_url: str = ""
    allow_insecure: bool = False
    ca_file: Path | None = None
    proxy: SecretStr | None = None
    proxy_file: Path | None = None
    name: str = ""
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    app_id: str | None = None
    app_version: str | None = None
    device_id: str | None = None
    cid: str | int | None = None
    sec: SecretStr | None = None
    sec_file: Path | None = None
    token_path: Path | None = None
    entity_types: tuple[str, ...] = ()
    users: tuple[int, ...] = ()
    accounts: tuple[int, ...] = ()
    cutoff_timestamp: str | None = None
    full_org_snapshot: bool | None = None
    max_sockets: Annotated[int, Field(ge=1, le=50)] = 40
    connect_burst: Annotated[int, Field(ge=1)] = 4
    idle_s: Annotated[float, Field(gt=0)] = 10.0
    heartbeat_s: Annotated[float, Field(gt=0, le=2.5)] = 2.5
    max_frame_mb: Annotated[int, Field(ge=1)] = 64

    @model_validator(mode="after")
    def _endpoints(self) -> Self:
        host = LIVE_HOST if self.environment == "live" else DEMO_HOST
        if not self.rest_url:
            object.__setattr__(self, "rest_url", f"https://{host}/v1")
        if not self.socket_url:
            object.__setattr__(self, "socket_url", f"wss://{host}/v1/websocket")
        for key, schemes in (("rest_url", ("http", "https")), ("socket_url", ("ws", "wss"))):
            _check_url(f"source.{key}", getattr(self, key), schemes, insecure=self.allow_insecure)
        if self.proxy is not None:
            _check_proxy(self.proxy.get_secret_value())
        return self


class Sharding(Section):
    """How the broker's entities are dealt out to sockets, and so to partitions."""

    expression: Literal["modAccountId", "modUserId"] = "modAccountId"
    divisor: Annotated[int, Field(ge=1, le=1024)] = 4
    remainders: tuple[int, ...] = ()
    foreign: Literal["auto", "publish", "skip"] = "auto"

    @model_validator(mode="after")
    def _remainders(self) -> Self:
        if not self.remainders:
            object.__setattr__(self, "remainders", tuple(range(self.divisor)))
        wrong = [r for r in self.remainders if not 0 <= r < self.divisor]
        if wrong:
            raise ValueError(f"remainders must lie in 0..{self.divisor - 1} for divisor {self.divisor}, not {wrong}")
        if len(set(self.remainders)) != len(self.remainders):
            raise ValueError("remainders must not repeat")
        return self


class Snapshot(Section):
    """When a snapshot counts as complete (the protocol has no marker for it), and what may vanish at once."""

    quiet_s: Annotated[float, Field(gt=0)] = 2.0
    delete_quiet_s: Annotated[float, Field(gt=0)] = 30.0
    delete_share: Annotated[float, Field(ge=0, le=1)] = 0.3


class Audit(Section):
    """How often a second snapshot is compared with what has been published, per shard."""

    interval_s: Annotated[float, Field(ge=0)] = 900.0
    before_s: Annotated[float, Field(ge=0)] = 30.0
    after_s: Annotated[float, Field(ge=0)] = 10.0


class Pressure(Section):
    """What may wait in memory, and then on disk, while Kafka is slow or away, per shard."""

    memory_mb: Annotated[int, Field(ge=1)] = 64
    high_water_kb: Annotated[int, Field(ge=1)] = 8192
    spool_path: Path | None = None
    spool_mb: Annotated[int, Field(ge=1)] = 1024


class Kafka(Section):
    """The cluster, the topics and how records get there."""

    bootstrap_servers: str = "127.0.0.1:9092"
    topic_prefix: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]*$", max_length=150)] = ""
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    commit_interval_ms: Annotated[int, Field(ge=1, le=10_000)] = 5
    transaction_timeout_ms: Annotated[int, Field(ge=5_000, le=900_000)] = 60_000
    request_timeout_ms: Annotated[int, Field(ge=1_000)] = 30_000
    max_record_bytes: Annotated[int, Field(ge=64 * 1024)] = 900 * 1024
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    replication_factor: Annotated[int, Field(ge=-1)] = -1
    deduplicate: bool = True
    archive: Literal["tombstone", "keep"] = "tombstone"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = None
    sasl_token: SecretStr | None = None
    sasl_token_file: Path | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_password: SecretStr | None = None
    ssl_password_file: Path | None = None


class Registry(Section):
    """The schema registry; without a URL records use Avro single-object encoding."""

    url: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 10.0

    @model_validator(mode="after")
    def _address(self) -> Self:
        if self.url is not None:
            # Registries inside a private network often speak plain HTTP: that is for the user to judge.
            remedy = "use registry.username and registry.password"
            _check_url("registry.url", self.url, ("http", "https"), insecure=True, remedy=remedy)
        return self


class Http(Section):
    """Where probes, metrics and the status page are served, and who may decide about held deletions."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    admin_token: SecretStr | None = None
    admin_token_file: Path | None = None


class Log(Section):
    """How the log reads."""

    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(BaseSettings):
    """All settings of one bridge process."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__", hide_input_in_errors=True
    )

    source: Source = Field(default_factory=Source)
    sharding: Sharding = Field(default_factory=Sharding)
    snapshot: Snapshot = Field(default_factory=Snapshot)
    audit: Audit = Field(default_factory=Audit)
    pressure: Pressure = Field(default_factory=Pressure)
    kafka: Kafka = Field(default_factory=Kafka)
    registry: Registry = Field(default_factory=Registry)
    http: Http = Field(default_factory=Http)
    log: Log = Field(default_factory=Log)

    @property
    def prefix(self) -> str:
        """Topic prefix `P` of the Kafka contract."""
        return self.kafka.topic_prefix or f"tradovate.{self.source.environment}"

    @model_validator(mode="after")
    def _sockets_suffice(self) -> Self:
        shards = len(self.sharding.remainders)
        if shards > self.source.max_sockets:
            raise ValueError(
                f"{shards} shards need {shards} sockets but source.max_sockets is {self.source.max_sockets}: "
                "lower sharding.divisor, give this process fewer sharding.remainders or raise source.max_sockets "
                "(the broker closes the oldest beyond 50)"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - signature of pydantic-settings
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - signature of pydantic-settings
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before arguments before the file: an operator's override always wins."""
        file = settings_cls.model_config.get("toml_file")
        toml = (TomlConfigSettingsSource(settings_cls, toml_file=file),) if isinstance(file, Path) else ()
        return (env_settings, init_settings, *toml)


def load(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read settings from a TOML file and the environment.

    Args:
        path: the file; None takes `syncbridge.toml` of the working directory if it exists.
        overrides: sections given by a program (the demo, tests); the environment still wins.

    Raises:
        ConfigurationError: naming the key, what is wrong and the nearest known key.
    """
    if path is None and DEFAULT_FILE.is_file():
        path = DEFAULT_FILE
    if path is not None and not path.is_file():
        raise ConfigurationError(f"the configuration file {path} does not exist")
    _refuse_unknown_variables(os.environ)
    bound = type(
        "Settings", (Settings,), {"model_config": SettingsConfigDict(toml_file=path), "__doc__": Settings.__doc__}
    )
    try:
        return bound(**(overrides or {}))  # type: ignore[no-any-return] # a subclass made above only to bind the file
    except ValidationError as error:
        raise ConfigurationError("; ".join(_sentences(error))) from None
    except SettingsError:
        raise ConfigurationError("; ".join(_not_json(os.environ))) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read the configuration file {path}: {error.strerror}") from None


def keys() -> dict[str, Any]:
    """Every key as `section.key` with its default, in order: what docs/configuration.md must list."""
    return {
        f"{section}.{key}": field.get_default(call_default_factory=True, validated_data={})
        for section, holder in Settings.model_fields.items()
        for key, field in _section(holder.annotation).model_fields.items()
    }


def nearest(word: str, known: Iterable[str]) -> str:
    """The clause `; did you mean X?`, or nothing if nothing is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _section(annotation: Any) -> type[Section]:
    assert isinstance(annotation, type), annotation  # noqa: S101 - a section is declared with its class
    assert issubclass(annotation, Section), annotation  # noqa: S101
    return annotation


def _sentences(error: ValidationError) -> Iterable[str]:
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            yield f"unknown configuration key {name}{nearest(name, [*keys(), *Settings.model_fields])}"
        else:
            text = item["msg"].removeprefix("Value error, ")
            yield f"{name}: {text}" if name and not text.startswith(f"{name}.") else text


def _variable(key: str) -> str:
    return f"{ENV_PREFIX}{key.upper().replace('.', '__')}"


def _not_json(environ: Mapping[str, str]) -> Iterable[str]:
    """Lists and whole sections are given to the environment as JSON; say which variable is none, not what it holds."""
    examples = {
        _variable(key): "a list such as [1, 2]" for key, default in keys().items() if isinstance(default, tuple)
    }
    examples |= {_variable(section): "an object" for section in Settings.model_fields}
    for name, value in environ.items():
        if name.upper() in examples:
            try:
                json.loads(value)
            except ValueError:
                yield f"{name} must be JSON, {examples[name.upper()]}"


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {_variable(key) for key in keys()} | set(OTHER_VARIABLES)
    sections = {_variable(name) for name in Settings.model_fields}
    for name in environ:
        upper = name.upper()
        if upper.startswith(ENV_PREFIX) and upper not in known | sections:
            raise ConfigurationError(f"unknown environment variable {name}{nearest(upper, known)}")


def _check_url(
    key: str,
    url: str,
    schemes: tuple[str, str],
    *,
    insecure: bool,
    remedy: str = "use source.name and source.password",
) -> None:
    plain, safe = schemes
    try:
        parts = urlsplit(url)
    except ValueError:  # its words may quote the address, and so a password in it
        raise ValueError(f"{key} is not an address") from None
    if parts.username or parts.password:
        raise ValueError(f"{key} must not carry credentials; {remedy}")
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"{key} must be an address that begins with {plain}:// or {safe}://")
    if parts.scheme == plain and not insecure and not is_loopback(parts.hostname):
        raise ValueError(
            f"{key} would send the token unencrypted to {parts.hostname}: use {safe}:// (or set source.allow_insecure)"
        )


def _check_proxy(url: str) -> None:
    """Unlike the others this address may carry a password, so nothing of it is quoted."""
    try:
        parts = urlsplit(url)
        known = bool(parts.scheme and parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ValueError("source.proxy must be an address such as http://user:password@proxy:3128")
