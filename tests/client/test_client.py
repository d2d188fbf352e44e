"""Calls of the client over a real socket."""

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo

from broker.client import Client, JobState, PriorityClass, Unavailable
from broker.client.connection import path
from broker.wire.v1 import admin_service_pb2, job_pb2, job_service_pb2
from tests.client.scripted_broker import AWAY, IMPATIENT, ScriptedBroker, client_of, hello, trouble

SLOW_DOWN = trouble(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "slow down",
    ErrorInfo(domain="xisuan", reason="TOO_MANY_CALLS"),
    RetryInfo(retry_delay=Duration(nanos=1_000_000)),
)


async def test_a_submission_is_repeated_under_its_key_until_it_is_stored() -> None:
    broker = ScriptedBroker()
    broker.troubles.extend([AWAY, SLOW_DOWN, AWAY])

    async with client_of(broker) as client:
        receipt = await client.submit(hello())

    sent = broker.called("SubmitJob")
    assert receipt.job_id == "job-1"
    assert len(sent) == 4
    assert len({request.request_key for request in sent}) == 1


async def test_only_a_key_of_the_caller_can_be_a_duplicate() -> None:
    """A key that the client invented was used by nobody else: a repetition after a lost answer is no news."""
    broker = ScriptedBroker(keys={"mine": "job-1"})

    async with client_of(broker) as client:
        assert (await client.submit(hello(), request_key="mine")).duplicate
        assert not (await client.submit(hello())).duplicate


async def test_patience_ends() -> None:
    broker = ScriptedBroker()
    broker.troubles.append(AWAY)

    async with client_of(broker, IMPATIENT) as client:
        with pytest.raises(Unavailable, match="going down"):
            await client.submit(hello())


async def test_pages_are_fetched_as_they_are_needed() -> None:
    broker = ScriptedBroker(keys={f"{n:03}": f"job-{n}" for n in range(7)})

    async with client_of(broker) as client:
        found = [job.job_id async for job in client.jobs(page_size=3, states=[JobState.PENDING], job_set="night")]

    assert found == [f"job-{n}" for n in range(7)]
    assert [request.page_token for request in broker.called("ListJobs")] == ["", "3", "6"]
    assert {tuple(request.states) for request in broker.called("ListJobs")} == {(job_pb2.JOB_STATE_PENDING,)}


async def test_who_needs_one_job_fetches_one_page() -> None:
    broker = ScriptedBroker(keys={f"{n:03}": f"job-{n}" for n in range(7)})

    async with client_of(broker) as client:
        async for _ in client.jobs(page_size=3):
            break

    assert len(broker.called("ListJobs")) == 1


async def test_wait_returns_the_final_job() -> None:
    broker = ScriptedBroker()
    broker.states.extend([job_pb2.JOB_STATE_PENDING, job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_SUCCEEDED])

    async with client_of(broker) as client:
        job = await client.wait("job-1")

    assert job.state is JobState.SUCCEEDED
    assert job.final


async def test_wait_ends_at_its_timeout_and_touches_nothing() -> None:
    broker = ScriptedBroker()
    broker.states.append(job_pb2.JOB_STATE_PENDING)

    async with client_of(broker) as client:
        with pytest.raises(Unavailable) as caught:
            await client.wait("job-1", timeout_seconds=0.1)

    assert caught.value.reason == "WAIT_TIMEOUT"
    assert {name for name, _ in broker.calls} == {"GetJob"}


async def test_wait_started_returns_a_running_job() -> None:
    broker = ScriptedBroker()
    broker.states.extend([job_pb2.JOB_STATE_LEASED, job_pb2.JOB_STATE_RUNNING])

    async with client_of(broker) as client:
        assert (await client.wait_started("job-1")).state is JobState.RUNNING


async def test_a_state_that_this_client_does_not_know_is_unknown() -> None:
    """A newer broker may have more states: an old client must not break."""
    broker = ScriptedBroker()
    broker.states.append(99)

    async with client_of(broker) as client:
        assert (await client.job("job-1")).state is JobState.UNKNOWN


async def test_the_example_of_the_package_works(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the first page of the documentation shows, word for word, against a broker on this machine."""
    import textwrap

    import broker.client as package
    from broker.client.settings import write_key, write_profile
    from tests.client.scripted_broker import serving

    assert package.__doc__ is not None
    example = textwrap.dedent(package.__doc__.split("\n\n")[1])
    home = tmp_path_factory.mktemp("home")
    scripted = ScriptedBroker()
    scripted.states.append(job_pb2.JOB_STATE_SUCCEEDED)
    told: list[object] = []
    async with serving(scripted) as endpoint:
        write_profile(home, endpoint=endpoint, city="ganzhou")
        write_key(home, "city-ganzhou", "xs_test")
        names = {**vars(package), "print": told.append, "Client": _At(home)}
        exec(f"async def example():\n{textwrap.indent(example, '    ')}", names)  # noqa: S102  # our own documentation
        await names["example"]()

    assert [str(job) for job in told] == ["job-1 '': succeeded"]


class _At:
    """`Client`, with the home folder of a test."""

    def __init__(self, home: object) -> None:
        self._home = home

    def from_environment(self) -> Client:
        return Client.from_environment(home=str(self._home))


def test_every_rpc_that_people_need_is_called_by_the_client() -> None:
    """A method that the wire offers and the client does not is a feature half present."""
    import inspect

    from broker.client import admin, bulk, client, streams

    text = "".join(inspect.getsource(module) for module in (admin, bulk, client, streams))
    services = [
        job_service_pb2.DESCRIPTOR.services_by_name["JobService"],
        admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
    ]
    wanted = [f"{service.name}/{method.name}" for service in services for method in service.methods]

    assert [method for method in wanted if f'"{method}"' not in text] == []
    assert path("JobService/GetJob") == f"/{services[0].full_name}/GetJob"


async def test_words_are_those_of_the_wire() -> None:
    """Every class, state and kind of the wire has its word in the client, and none is made up."""
    from broker.client import EndReason, EventKind, IfLost, WorkloadClass

    pairs = [
        (PriorityClass, job_pb2.PriorityClass, "PRIORITY_CLASS_"),
        (WorkloadClass, job_pb2.WorkloadClass, "WORKLOAD_CLASS_"),
        (IfLost, job_pb2.IfLost, "IF_LOST_"),
        (JobState, job_pb2.JobState, "JOB_STATE_"),
        (EndReason, job_pb2.EndReason, "END_REASON_"),
        (EventKind, job_service_pb2.JobEventKind, "JOB_EVENT_KIND_"),
    ]
    for words, wire, prefix in pairs:
        names = {name.removeprefix(prefix).lower() for name in wire.keys()} - {"unspecified"}  # noqa: SIM118
        assert {word.value for word in words} - {"unknown"} == names
