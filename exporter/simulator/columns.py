"""The jobs of a list stored by column, about 45 bytes each, so that a million fit into memory."""

from array import array

from exporter.simulator.listed import JobRow

GONE = 0
"""The status code of a job that has left the list."""
_NOT_STARTED = -1


class Names:
    """Names by small number; number 0 means none."""

    __slots__ = ("by_name", "names")

    def __init__(self) -> None:
        self.names = [""]
        self.by_name: dict[str, int] = {}

    def code(self, name: str) -> int:
        """The number of ``name``, a new one if it has none yet."""
        code = self.by_name.get(name)
        if code is None:
            code = self.by_name[name] = len(self.names)
            self.names.append(name)
        return code


class Columns:
    """Rows by number, from 0 on. What has left the list keeps its number, which is not used again."""

    __slots__ = (
        "cores", "modified", "queue", "queues", "started", "status", "statuses", "submitted",
        "user", "users",
    )  # fmt: skip

    def __init__(self) -> None:
        self.statuses = Names()
        self.queues = Names()
        self.users = Names()
        self.status = array("I")
        self.queue = array("I")
        self.user = array("I")
        self.cores = array("I")
        self.submitted = array("q")
        self.started = array("q")
        self.modified = array("q")

    def __len__(self) -> int:
        return len(self.status)

    def row(self, number: int) -> JobRow:
        """The row of that number, whose job is in the list."""
        return JobRow(*self.values(number))

    def values(self, number: int) -> tuple[str, str, str, int, int, int | None, int]:
        """The same as a plain tuple, which is quicker to make: pages are made of them."""
        started = self.started[number]
        return (
            self.statuses.names[self.status[number]],
            self.queues.names[self.queue[number]],
            self.users.names[self.user[number]],
            self.cores[number],
            self.submitted[number],
            None if started == _NOT_STARTED else started,
            self.modified[number],
        )

    def append(self, row: JobRow) -> int:
        """Add a row; returns its number."""
        self.status.append(self.statuses.code(row.status))
        self.queue.append(self.queues.code(row.queue))
        self.user.append(self.users.code(row.user))
        self.cores.append(row.cores)
        self.submitted.append(row.submitted_at)
        self.started.append(_NOT_STARTED if row.started_at is None else row.started_at)
        self.modified.append(row.modified_at)
        return len(self.status) - 1

    def put(self, number: int, row: JobRow | None) -> None:
        """Make the row of that number this one; None for a job that leaves the list."""
        if row is None:
            self.status[number] = GONE
            return
        self.status[number] = self.statuses.code(row.status)
        self.queue[number] = self.queues.code(row.queue)
        self.user[number] = self.users.code(row.user)
        self.cores[number] = row.cores
        self.submitted[number] = row.submitted_at
        self.started[number] = _NOT_STARTED if row.started_at is None else row.started_at
        self.modified[number] = row.modified_at
