"""Jobs made up for tests of the ledger."""

from exporter.model import Job

AT = 1_700_000_000
WHOSE = "https://cloud zone ehpc-1"


def job(
    number: int | str,
    status: str = "pending",
    *,
    queue: str = "q",
    user: str = "u",
    cores: int = 1,
    submitted_at: int | None = AT,
    started_at: int | None = None,
    modified_at: int | None = AT,
) -> Job:
    """A job by its number; everything else has a value that no test depends on."""
    uuid = f"hpcjob-{number:08d}" if isinstance(number, int) else number
    return Job(uuid, status, queue, user, cores, submitted_at, started_at, modified_at)


def run_of(count: int, status: str = "finished", *, first: int = 0) -> list[Job]:
    """Jobs that changed one second after the other."""
    return [
        job(n, status, submitted_at=AT + n, started_at=AT + n, modified_at=AT + n)
        for n in range(first, first + count)
    ]
