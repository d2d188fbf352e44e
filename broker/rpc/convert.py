"""Between the wire and the domain: requests in (all checks of job_service.proto), jobs and events out."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from broker.ids import JobId, job_text, lease_text
from broker.job import Ending, Event, Job, JobSpec, Placement
from broker.lifecycle import JobState
from broker.rpc.convert_checks import Checks, job_id, shown
from broker.rpc.convert_enums import END_REASON, IF_LOST, JOB_EVENT, JOB_STATE, PRIORITY, WORKLOAD
from broker.rpc.convert_spec import TASKS_MAX, job_spec
from broker.wire.v1 import job_pb2 as pb
from broker.wire.v1 import job_service_pb2 as spb

__all__ = [
    "Filter",
    "Submission",
    "ending_to_wire",
    "event_to_wire",
    "job_id",
    "job_spec",
    "job_to_wire",
    "placement_to_wire",
    "spec_to_wire",
]

REQUEST_KEY_CHARACTERS_MAX: Final = 128
PAGE_SIZE_MAX: Final = 1000
PAGE_SIZE_STANDARD: Final = 100
IDLE_SECONDS_MAX: Final = 86_400
CURSOR_MAX: Final = 2**63 - 1
