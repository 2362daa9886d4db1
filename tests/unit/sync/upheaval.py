"""A play in which more happens than to single jobs: to many at once, to the clock, to the server, to the disk."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from exporter.errors import ApiError, BudgetExhausted, SyncError
from exporter.ledger.suspects import GONE_KEPT_SECONDS
from exporter.model import JobListQuery, Purpose
from exporter.simulator import JobList, JobRow, Order, draw_dialect, spell_dialect
from tests.unit.sync.adversary import (
    ENDED,
    ENDS,
    QUEUES,
    TURNS_OF_LUCK,
    USERS,
    Adversary,
    some_jobs,
)
from tests.unit.sync.play import Play, is_curious
from tests.unit.sync.simulated import CLUSTER_ID, SimulatedCluster, plenty

TROUBLES = (
    "ret-5000",
    "ret-5100",
    "ret-2500",
    "empty-list",
    "one-page",
    "half-the-shards",
    "empty-page",
)
HISTORIES = (float("inf"), 86400.0, 7200.0, 0.0)


class Upheaver(Adversary):
    """Changes many jobs at once, too, and lets hours pass."""

    def __init__(self, cluster: SimulatedCluster, rng: Random) -> None:
        super().__init__(cluster, rng)
        self.vanished: list[tuple[str, JobRow]] = []
        self.returned = set[str]()
        self.renamed = False

    def acts(self) -> Sequence[Callable[[], None]]:
        return (
            *super().acts(), self.edit, self.edit, self.all_at_once, self.all_at_once,
            self.delete_many, self.vanish, self.come_back, self.let_hours_pass, self.rename_queue,
        )  # fmt: skip

    def edit(self) -> None:
        """Some active job gets another queue, user or number of cores, and a new time of change."""
        uuid = self._pick({"pending", "running", "suspended"})
        if uuid is None:
            return
        what = self.rng.choice(("queue", "user", "cores"))
        changes: dict[str, Any] = {
            "queue": self.rng.choice(QUEUES),
            "user": self.rng.choice(USERS),
            "cores": self.rng.randrange(1, 99),
        }
        self._edit(uuid, self._at(), **{what: changes[what]})

    def rename_queue(self) -> None:
        """All jobs of a queue are in another one, with a new time of change; where no such change comes to the
        head, only active ones: others are found by random pages, if they are many."""
        self.renamed = True
        dialect = self.cluster.cluster.dialect
        shown = dialect.reverse == "honoured" and Order.MODIFIED in dialect.sort_keys
        old, new, at = self.rng.choice(QUEUES), self.rng.choice((*QUEUES, "new")), self._at()
        for job in list(self.jobs.jobs()):
            if job.queue == old and (shown or job.status not in ENDED):
                self._edit(job.uuid, at, queue=new)

    def _edit(self, uuid: str, at: float, **changes: Any) -> None:
        status = self.jobs.get(uuid).status
        self.jobs.edit(uuid, at, moves_modified=True, **changes)
        self.events["ended"] += status in ENDED  # of an unknown job, it is the time of its end

    def all_at_once(self) -> None:
        """In one second, all jobs of a kind start, end, are held, or are queued again."""
        at = self._at()
        what, statuses = self.rng.choice((
            ("started", {"pending"}), ("ended", {"running"}), ("ended", {"pending", "running"}),
            ("requeued", {"running"}), ("requeued", ENDED), ("suspended", {"running"}),
        ))  # fmt: skip
        end = self.rng.choice(ENDS)
        for uuid in self.jobs.uuids(statuses):
            if what == "started":
                self.jobs.start(uuid, at)
            elif what == "ended":
                self.jobs.end(uuid, at, end)
            elif what == "suspended":
                self.jobs.suspend(uuid, at)
            else:
                self.jobs.requeue(uuid, at)
            self.events[what] += 1

    def delete_many(self) -> None:
        """A large part of the list is deleted: the oldest, all that has ended, or everything."""
        uuids = self._uuids() if self.rng.random() < 0.5 else self.jobs.uuids(ENDED)
        self.jobs.delete(uuids[: self.rng.choice((len(uuids) // 2, len(uuids) // 4, len(uuids)))])

    def vanish(self) -> None:
        """Some jobs leave the list; perhaps they come back."""
        uuids = self._uuids()
        for uuid in self.rng.sample(uuids, min(len(uuids), self.rng.choice((1, 3, 8)))):
            self.vanished.append((uuid, self.jobs.row(uuid)))
            self.jobs.delete([uuid])

    def come_back(self) -> None:
        """They are there again as they were."""
        for uuid, row in self.vanished:
            self.jobs.put_back(uuid, row)
            self.returned.add(uuid)
        self.note_returned(row.modified_at for _, row in self.vanished)
        self.vanished.clear()

    def note_returned(self, changed_at: Iterable[int]) -> None:
        """Jobs that changed more than a day ago are not remembered once they are gone: they may be counted again."""
        for at in changed_at:
            for kind in ("submitted", "started", "ended"):
                self.events[kind] += at < self.cluster.now_at - GONE_KEPT_SECONDS

    def let_hours_pass(self) -> None:
        """The edge of a history that is limited moves."""
        self.cluster.now_at += self.rng.choice((300, 3600, 3700, 20_000))


class Upheaval(Play):
    """One case."""

    expected = (SyncError, ApiError)

    def __init__(self, name: str, seed: int, directory: Path, *, telling: bool = False) -> None:
        super().__init__(name, seed, directory, telling=telling)
        self.adversary: Upheaver = Upheaver(self.cluster, self.rng)
        self.ledger_copy = directory / "copy.ledger"
        self.server_copy: JobList | None = None
        self.upgraded = self.rolled_back = False

    def deeds(self) -> Sequence[Callable[[], None]]:
        return (
            *super().deeds(), self.look_slowly, self.look_slowly, self.run_dry, self.be_in_trouble,
            self.set_clock, self.back_up, self.restore, self.restore, self.upgrade, self.want_more_or_less,
            self.copy_list, self.roll_back, self.fail_over, self.mix_up,
        )  # fmt: skip

    def look_slowly(self) -> None:
        """Each call takes a while, in which things happen."""
        self._tell("slow")
        meddle, slow = self.adversary.meddler(2), self.rng.choice((5, 30, 100))

        def between() -> None:
            self.cluster.now_at += slow
            meddle()

        usual, self.cluster.between_calls = self.cluster.calls_between, between
        self.cluster.calls_between = usual or 15  # after an interval, the next sync is due
        self.look()
        self.cluster.between_calls, self.cluster.calls_between = lambda: None, usual

    def run_dry(self) -> None:
        """The budget has some calls, and then none."""
        left = self.rng.randrange(1, 12)
        self._tell(f"budget of {left}")

        def before(_: JobListQuery) -> None:
            nonlocal left
            if left <= 0:
                raise BudgetExhausted(
                    "budget", "none left", until_at=self.cluster.now_at, advice=""
                )
            left -= 1

        def allowance(purpose: Purpose) -> int:
            return left if purpose is Purpose.FRESH else left // 2

        self.cluster.before_call, self.cluster.allowance = before, allowance
        self.look()
        self.cluster.before_call, self.cluster.allowance = lambda _: None, plenty

    def be_in_trouble(self) -> None:
        """For some syncs, many answers are wrong, or calls are refused."""
        name, often = self.rng.choice(TROUBLES), self.rng.choice((0.2, 1.0))
        self._tell(f"trouble {name} {often}")
        self.lied = True
        self.cluster.cloud.faults.add(name, probability=often)
        for _ in range(self.rng.randrange(1, 6)):
            self.change(self.rng.randrange(0, 5))
            self.look()
        self.cluster.cloud.faults.rules.clear()

    def set_clock(self) -> None:
        """The server's clock is set."""
        dialect = self.cluster.cluster.dialect
        ahead = self.rng.choice((40, 3600, 90_000))
        back = self.rng.choice((-5, -40, -3600))
        late = dialect.lag_seconds or dialect.cache_seconds
        step = ahead if late or self.rng.random() < 0.4 else back
        self._tell(f"clock {step}")
        self.cluster.now_at += step
        for job in self.cluster.jobs.jobs():
            # What lies ahead of it may be taken for later than the ledger's begin.
            ahead = max(job.modified_at, job.started_at or 0) > self.cluster.now_at
            self.adversary.note_returned([0] * ahead)

    def back_up(self) -> None:
        """The state directory is copied."""
        self._tell("back up")
        self.cluster.ledger.close()
        shutil.copyfile(self.path, self.ledger_copy)
        self._restart(CLUSTER_ID)

    def restore(self) -> None:
        """The copy is put back, and the program starts with it."""
        if self.ledger_copy.exists():
            self._tell("restore")
            self.cluster.ledger.close()
            shutil.copyfile(self.ledger_copy, self.path)
            self._restart(CLUSTER_ID)

    def upgrade(self) -> None:
        """The server is replaced by another version."""
        if self.upgraded or self.rng.random() < 0.5:
            return
        self.upgraded = True
        now, dice = self.cluster.cluster.dialect, Random(self.rng.random())
        drawn = draw_dialect(dice)
        limited = now.depth_limit or now.total_limit
        drawn = replace(
            drawn, zone_offset_seconds=now.zone_offset_seconds,
            times=now.times if self.settings.zone_configured or not now.zone_offset_seconds else drawn.times,
            page_cap=now.page_cap if limited else dice.choice((now.page_cap, now.page_cap // 2)),
            depth_limit=now.depth_limit, total_limit=now.total_limit, beyond_depth=now.beyond_depth,
            absent_start=now.absent_start, still_transitions=now.still_transitions,
        )  # fmt: skip
        self._tell(f"upgrade {spell_dialect(drawn)}")
        self.curious = self.curious or is_curious(drawn)
        self.cluster.cluster.speak(drawn)

    def want_more_or_less(self) -> None:
        """The program starts again, with another length of the history."""
        dialect = self.cluster.cluster.dialect
        if not self.settings.zone_configured or dialect.zone_offset_seconds:
            return
        self.settings = replace(self.settings, history_seconds=self.rng.choice(HISTORIES))
        self._tell(f"history {self.settings.history_seconds}")
        self.cluster.settings = self.settings
        self._restart(CLUSTER_ID)

    def copy_list(self) -> None:
        """The server is backed up."""
        self._tell("copy list")
        self.server_copy = self.cluster.jobs.copy()

    def roll_back(self) -> None:
        """The server goes back to its backup. Identities are not used again."""
        if self.server_copy is None:
            return
        self.rolled_back = True
        before, jobs = self.cluster.jobs, self.server_copy.copy()
        self._tell(f"roll back {len(before)} to {len(jobs)}")
        for _ in range(len(before._columns) - len(jobs._columns)):
            at = int(self.cluster.now_at)
            jobs.delete([jobs.load_one(JobRow("pending", "q", "u", 1, at, None, at))])
        self.adversary.vanished.clear()
        self.adversary.note_returned(
            job.modified_at for job in jobs.jobs() if job.uuid not in before
        )
        self._note_seen(before, jobs)
        self.cluster.cluster.jobs = jobs
        self.cluster.cluster.speak(self.cluster.cluster.dialect)

    def fail_over(self) -> None:
        """For some syncs, a copy of the server answers that has been left behind."""
        if self.server_copy is not None:
            self._tell("fail over")
            self._show(self.server_copy.copy(), self.rng.randrange(1, 5))

    def mix_up(self) -> None:
        """For some syncs, the server answers with the list of another cluster."""
        other = JobList(uuid_salt=self.rng.randrange(1, 99) * 7919)
        some_jobs(other, self.rng.choice((3, 30, 120)), self.rng)
        self._tell(f"mix up, {len(other)} jobs")
        self._show(other, self.rng.randrange(1, 4))

    def _show(self, other: JobList, turns: int) -> None:
        usual, hosted = self.cluster.jobs, self.cluster.cluster
        self.rolled_back = True
        for now, then in ((usual, other), (other, usual)):
            self.adversary.events["submitted"] += len(set(then.uuids()) - set(now.uuids()))
            self._note_seen(now, then)
        hosted.jobs = other
        hosted.speak(hosted.dialect)
        for _ in range(turns):
            self.look()
        hosted.jobs = usual
        hosted.speak(hosted.dialect)

    def _note_seen(self, now: JobList, then: JobList) -> None:
        """What is seen to have happened counts, whatever its time: a job that has another start has started, and, if it
        has ended, ended again."""
        for job in then.jobs():
            was = now.get(job.uuid) if job.uuid in now else None
            again = was is None or was.started_at != job.started_at
            status = "" if was is None else was.status
            if again or status != job.status:
                self.adversary.events["started"] += again or status == "pending"
                self.adversary.events["ended"] += again or status not in ENDED

    def _withheld(self) -> bool:
        return super()._withheld() or self._replaced()

    def _replaced(self) -> bool:
        """Whether all that is unknown are ended jobs that came back as they were, and as many others in their place are
        gone: of long lists, only chance would show it."""
        jobs, ledger = self.cluster.jobs, self.cluster.ledger
        unknown = set(jobs.uuids()) - ledger.known(jobs.uuids()).keys()
        ended = self.adversary.returned.intersection(jobs.uuids(ENDED))
        return bool(unknown) and unknown <= ended and ledger.size == len(jobs)

    def _turns_of_luck(self) -> int:
        # What no total shows is found by random pages, a server that fails at what it does not know by failures.
        lucky = self.rolled_back or self.adversary.renamed or self.upgraded
        return max(super()._turns_of_luck(), TURNS_OF_LUCK["still-all"] if lucky else 0)

    def _tell(self, what: str) -> None:
        if self.telling:
            print(what)
