"""What happens to the jobs of a test: hostile names, lists to begin with, changes between calls."""

import random
import time
from collections.abc import Sequence

from exporter.simulator import END_STATUSES, JobList, JobRow

QUEUES = ("默认队列", 'the "big" one', "back\\slash\\n", "two\nlines", "gpu-a100")
USERS = (
    "usr-vceaHsJu",
    "李娜",
    'o"brien',
    "LAB\\sun",
    "three\n\nlines\n",
    "ends in \\",
    "tab\tand\rreturn",
    "{le='1'}, # HELP",
    "\u202ereversed \u2028 🚀",
    "  blanks  ",
    "",
    "<script>alert(1)</script>",
)
_ENDS = ("finished", "finished", "finished", "exited", "cancelled")


def populate(
    jobs: JobList,
    count: int,
    *,
    active: int,
    seed: int = 0,
    queues: Sequence[str] = QUEUES,
    users: Sequence[str] = USERS,
) -> None:
    """So many jobs of the last month, ``active`` of them pending, running or suspended.

    Most of those are young; some have waited or run since long ago.
    """
    rng = random.Random(seed)
    now_at = int(time.time())
    live = set(rng.sample(range(count), active // 5))
    live |= set(range(count - active + len(live), count))
    for number in range(count):
        submitted = now_at - 100 - (count - number) * 2_600_000 // count
        started = submitted + rng.randrange(1, 90)
        status = rng.choice(_ENDS)
        modified = started + rng.randrange(0, 9)
        if number in live:
            status = rng.choice(("pending", "pending", "running", "running", "suspended"))
            modified = submitted if status == "pending" else started
        jobs.load_one(
            JobRow(
                status,
                rng.choice(queues),
                rng.choice(users),
                rng.choice((1, 1, 4, 32)),
                submitted,
                None if status == "pending" else started,
                modified,
            )
        )


class Churn:
    """Changes of every kind, a few at a time, each as the real cloud would make it."""

    def __init__(
        self,
        jobs: JobList,
        *,
        seed: int = 0,
        queues: Sequence[str] = QUEUES,
        users: Sequence[str] = USERS,
    ) -> None:
        self.jobs = jobs
        self._rng = random.Random(seed)
        self._queues, self._users = queues, users
        self._uuids = [job.uuid for job in jobs.jobs()]
        self._active = [job.uuid for job in jobs.jobs() if job.status not in END_STATUSES]

    def stir(self, changes: int = 1) -> None:
        """So many changes, now."""
        for _ in range(changes):
            self._change(time.time())

    def _change(self, at: float) -> None:
        lot = self._rng.random()
        if lot < 0.35 or not self._active:
            self._submit(at)
        elif lot < 0.45:
            self._delete(self._uuids)
        elif lot < 0.5:
            self._requeue(at)
        else:
            self._carry_on(at)

    def _submit(self, at: float) -> None:
        uuid = self.jobs.submit(
            at, queue=self._rng.choice(self._queues), user=self._rng.choice(self._users),
            cores=self._rng.choice((1, 2, 16)),
        )  # fmt: skip
        self._uuids.append(uuid)
        self._active.append(uuid)

    def _delete(self, among: list[str]) -> None:
        uuid = among[self._rng.randrange(len(among))]
        self.jobs.delete([uuid])
        self._uuids.remove(uuid)
        if uuid in self._active:
            self._active.remove(uuid)

    def _requeue(self, at: float) -> None:
        """Also jobs that ended long ago wait again."""
        uuid = self._rng.choice(self._uuids)
        self.jobs.requeue(uuid, at)
        if uuid not in self._active:
            self._active.append(uuid)

    def _carry_on(self, at: float) -> None:
        uuid = self._rng.choice(self._active)
        status = self.jobs.get(uuid).status
        lot = self._rng.random()
        if lot < 0.15:
            self.jobs.cancel(uuid, at)
        elif status == "pending":
            self.jobs.start(uuid, at)
        elif status == "suspended":
            self.jobs.resume(uuid, at)
        elif lot < 0.3:
            self.jobs.suspend(uuid, at)
        else:
            self.jobs.end(uuid, at, self._rng.choice(("finished", "exited")))
        if self.jobs.get(uuid).status in END_STATUSES:
            self._active.remove(uuid)
