from __future__ import annotations

import pytest
from aiokafka import errors as foreign

from bridge.errors import KafkaUnavailable, KafkaUnusable
from bridge.kafka.client import Cluster, translated

CLUSTER = Cluster("127.0.0.1:9092")


@pytest.mark.parametrize(
    "error",
    [
        foreign.KafkaConnectionError("Unable to bootstrap from 127.0.0.1:9092"),
        foreign.KafkaError("Unable to get cluster metadata over all known brokers"),
        foreign.LeaderNotAvailableError(),
        OSError("no route"),
        TimeoutError(),
    ],
)
def test_what_may_pass_is_waited_for(error: Exception) -> None:
    with pytest.raises(KafkaUnavailable, match="looking around"), translated("looking around", CLUSTER):
        raise error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (foreign.TopicAuthorizationFailedError("p.order"), "grant this user the ACLs"),
        (foreign.SaslAuthenticationFailed("SCRAM"), "refuses the login"),
        (foreign.InvalidTopicError("a b"), "InvalidTopicError"),
    ],
)
def test_what_will_not_pass_ends_the_process(error: Exception, told: str) -> None:
    with pytest.raises(KafkaUnusable, match=told) as caught, translated("looking around", CLUSTER):
        raise error
    assert not isinstance(caught.value, KafkaUnavailable)
