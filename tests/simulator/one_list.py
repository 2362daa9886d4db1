"""A cloud of one list, asked in process."""

import random
from typing import Any

from exporter.simulator import DOCUMENTED, Cloud, Dialect

AT = 1_700_000_000
QUERY = {"limit": "100"}


def a_cloud(dialect: Dialect = DOCUMENTED, jobs: int = 300) -> Cloud:
    """Every third job is running, in no order."""
    cloud = Cloud(seed=1)
    listed = cloud.add_cluster("c", dialect=dialect).jobs
    uuids = [listed.submit(AT + number, queue="q", user="u") for number in range(jobs)]
    for number, uuid in enumerate(random.Random(3).sample(uuids, jobs // 3)):
        listed.start(uuid, AT + 1000 + number)
    return cloud


def ask(cloud: Cloud, now_at: float = AT + 5000, /, **params: str) -> dict[str, Any]:
    return cloud.list_jobs("c", {**QUERY, **params}, now_at)
