"""A killed exporter's state is damaged, and it starts again: what is published is right, or withheld.

``python -m tests.unit.ledger.damaging TIMES [FIRST_SEED]`` damages so often; one seed, one damage.
"""

import shutil
import sys
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from exporter.ledger.directory import StateDirectory
from exporter.simulator import DOCUMENTED, JobList, fill
from exporter.snapshot import ClusterState
from exporter.sync.context import SyncSettings
from tests.unit.polling.polled import IDENTITY, PolledCluster
from tests.unit.sync.living import Living
from tests.unit.sync.simulated import START_AT, SimulatedCluster

ENDPOINT = "https://cloud"
JOBS = 150
TURNS_TO_RECOVER = 3
TURNS_TO_BE_WHOLE = 12
SETTINGS = SyncSettings(interval_seconds=60, audit_interval_seconds=600)

Truth = Counter[tuple[str, str, str]]
Counts = dict[tuple[str, str, str], int]
"""By kind, queue and status."""


class Followed:
    """A cluster, its poller and its state on disk."""

    def __init__(self, directory: Path, jobs: JobList, now_at: float, seed: int) -> None:
        self.cluster = SimulatedCluster(DOCUMENTED, SETTINGS, jobs=jobs, seed=seed)
        self.cluster.now_at = now_at
        self.living = Living(self.cluster, Random(seed))
        self.state = StateDirectory(directory)
        self.path = self.state.ledger_path(IDENTITY, ENDPOINT)
        self.polled = PolledCluster(self.cluster, settings=SETTINGS, path=self.path)
        self.polled.open = lambda: self.state.ledger(IDENTITY, ENDPOINT, self.polled.clock)

    def turn(self) -> ClusterState:
        """An interval passes, and a sync comes."""
        self.polled.clock.advance(SETTINGS.interval_seconds)
        self.polled.clock.now = max(self.polled.clock.now, self.cluster.now_at)
        self.polled.turn()
        return self.polled.state

    def close(self) -> None:
        """Stop it."""
        self.polled.keeper.close()
        self.cluster.ledger.close()


class Original:
    """What is damaged: a cluster that has been followed for a while, as a kill leaves it."""

    def __init__(self, directory: Path, way: str) -> None:
        self.directory = directory
        self.truths: dict[float, Truth] = {}
        listed = JobList()
        fill(listed, JOBS, active=20, now_at=START_AT - 5)
        following = Followed(directory / "living", listed, START_AT, seed=5)
        following.state.acquire()
        for _ in range(4):
            following.turn()
        for turn in range(20):
            following.living.live(following.living.rng.randrange(1, 12))
            state = following.turn()
            following.living.looked()
            assert state.up
            assert state.snapshot
            self.truths[state.snapshot.taken_at] = following.cluster.true_counts()
            if turn == 12 and way == "killed after a checkpoint":
                following.polled.ledger._connection.execute("PRAGMA wal_checkpoint")
        if way == "killed in a checkpoint":
            following.polled.ledger._connection.execute("PRAGMA wal_checkpoint")
        self.published = counts_of(following.polled.state)
        self.jobs, self.now_at = following.cluster.jobs, following.polled.clock.now
        self.counts = following.living.totals()
        if way == "stopped":
            following.close()
        shutil.copytree(directory / "living", directory / "killed")
        following.state.release()
        following.close()

    def again(self, directory: Path, seed: int) -> Followed:
        """As it was, in another directory, not yet started."""
        shutil.copytree(self.directory / "killed", directory)
        following = Followed(directory, deepcopy(self.jobs), self.now_at, seed)
        following.living.before = self.counts
        following.living.looked()
        return following


WAYS = ("killed", "killed after a checkpoint", "killed in a checkpoint", "stopped")


def counts_of(state: ClusterState) -> Counts:
    """The counters that are published."""
    snapshot = state.snapshot
    if snapshot is None:
        return {}
    kinds = {"submitted": snapshot.submitted, "started": snapshot.started, "ended": snapshot.ended}
    counts: Counts = {
        (kind, each.queue, each.status): each[2] for kind, all_ in kinds.items() for each in all_
    }
    used = {"cores": snapshot.core_seconds, "wait": snapshot.user_waits}
    return counts | {
        (kind, each.queue, each.user): each.seconds for kind, all_ in used.items() for each in all_
    }


# -- damages -----------------------------------------------------------------------------------


def flip(path: Path, dice: Random) -> None:
    """A bit, or some."""
    data = bytearray(path.read_bytes())
    for _ in range(dice.choice((1, 1, 4, 64))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def overwrite(path: Path, dice: Random) -> None:
    """A stretch of it is something else."""
    data = bytearray(path.read_bytes())
    first, length = dice.randrange(len(data)), dice.choice((1, 3, 20, 512, 4096))
    other = dice.choice((bytes(length), b"\xff" * length, dice.randbytes(length)))
    data[first : first + length] = other[: len(data) - first]
    path.write_bytes(data)


def lose_a_write(path: Path, dice: Random) -> None:
    """A page is another one's, or as empty as a new one."""
    data, pages = bytearray(path.read_bytes()), path.stat().st_size // 4096
    source, target = dice.randrange(pages), dice.randrange(pages)
    page = dice.choice((bytes(4096), data[source * 4096 : (source + 1) * 4096]))
    data[target * 4096 : (target + 1) * 4096] = page
    path.write_bytes(data)


def cut(path: Path, dice: Random) -> None:
    """Its end is missing."""
    with path.open("r+b") as file:
        file.truncate(dice.randrange(path.stat().st_size))


def empty(path: Path, dice: Random) -> None:
    """Nothing is in it."""
    del dice
    path.write_bytes(b"")


def remove(path: Path, dice: Random) -> None:
    """It is gone."""
    del dice
    path.unlink()


Damage = Callable[[Path, Random], None]
DAMAGES: dict[str, tuple[Damage, ...]] = {
    "": (flip, flip, flip, overwrite, overwrite, lose_a_write, cut, empty, remove),
    "-wal": (flip, overwrite, cut, cut, cut, cut, empty, remove),
    "-shm": (overwrite, remove),
    ".published": (flip, cut, empty, remove),
}


def damage(following: Followed, dice: Random) -> str:
    """Damage one of the files, or two; gives what was done."""
    done = []
    parts = dice.choices(("", "-wal", "-shm", ".published"), (6, 6, 1, 2), k=dice.choice((1, 1, 2)))
    if ".published" in parts:
        parts = [".published"]  # with the log as well, all that is left is as it once was
    for part in parts:
        path = following.path.with_name(following.path.name + part)
        if path.exists() and path.stat().st_size:
            deed = dice.choice(DAMAGES[part])
            deed(path, dice)
            done.append(f"{deed.__name__} {part or 'ledger'}")
    return ", ".join(done) or "nothing"


# -- what must be ------------------------------------------------------------------------------


class Judge:
    """Looks at all that is published after a damage."""

    def __init__(self, original: Original, following: Followed) -> None:
        self._original = original
        self._following = following
        self._shown = original.published
        self._truths = dict(original.truths)
        self.begun_anew = False
        self._uncounted: Counter[tuple[str, str, str]] = Counter()
        """What happened before it began anew."""

    def look(self) -> None:
        """At what has been published since the last look."""
        following, published = self._following, self._following.polled.published
        if not self.begun_anew and any(following.path.parent.glob("*.ledger.set-aside-*")):
            self.begun_anew = True
            self._uncounted = following.living.totals()
        for state in published:
            self._look_at(state)
        published.clear()

    def _look_at(self, state: ClusterState) -> None:
        snapshot, counts = state.snapshot, counts_of(state)
        if snapshot is None:
            return
        # A sync that fails leaves what was shown before.
        true_now = self._following.cluster.true_counts()
        truth = self._truths.setdefault(snapshot.taken_at, true_now)
        shown = Counter({(c.status, c.queue, c.user): c.jobs for c in snapshot.counts if c.jobs})
        statuses = {status for status, _, _ in shown}
        wanted = {key: jobs for key, jobs in truth.items() if key[0] in statuses}
        assert shown == wanted, f"published {shown - Counter(wanted)} of {wanted}"
        fallen = {key: (was, counts.get(key)) for key, was in self._shown.items()
                  if counts.get(key, 0) < was}  # fmt: skip
        if fallen and self.begun_anew:
            assert not any(counts.values()), f"no counter begins anew above 0: {counts}"
            fallen = {}
        assert not fallen, f"counters have become lower: {fallen}"
        self._shown = counts

    def end(self) -> None:
        """After a while of rest: all is published, and right."""
        state = self._following.polled.state
        assert state.up
        assert state.snapshot
        assert state.snapshot.history_complete
        exact = self._following.living.totals()
        before = self._original.published
        for key, count in counts_of(state).items():
            was = before.get(key, 0)
            lived = exact[key]
            if self.begun_anew:
                since = lived - self._uncounted[key]
                assert count == since, f"{key}: {count} of {since}"
            else:
                assert was <= count <= lived, f"{key}: {count} of {lived}, {was} before"


def play(original: Original, directory: Path, seed: int) -> str:
    """One damage; gives what was done, and what came of it. Raises AssertionError."""
    dice = Random(f"{seed} damage")
    following = original.again(directory, seed)
    judge = Judge(original, following)
    running = dice.random() < 0.25
    try:
        if running:
            following.turn()
            following.polled.ledger._connection.execute("PRAGMA shrink_memory")
            following.polled.ledger._jobs._recent.clear()
        done = damage(following, dice)
        if not running:
            following.polled.poller._show_kept()
        judge.look()
        for _ in range(TURNS_TO_RECOVER):
            following.turn()
            judge.look()
        assert following.polled.state.up, f"it fails for ever: {following.polled.state.failure}"
        for _ in range(3):
            following.cluster.now_at += 2  # in the second in which it begins nothing is counted
            following.living.live(dice.randrange(1, 12))
            following.turn()
            following.living.looked()
            judge.look()
        for _ in range(TURNS_TO_BE_WHOLE):
            following.turn()
            judge.look()
        judge.end()
    except AssertionError as error:
        raise AssertionError(f"seed {seed}, {done}{running * ' while running'}: {error}") from error
    finally:
        following.close()
        shutil.rmtree(directory, ignore_errors=True)
    return f"{done}{running * ' while running'}: {'begun anew' if judge.begun_anew else 'kept'}"


def main(arguments: list[str]) -> int:
    """Damage so often; gives how many were not withstood."""
    times, first = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 0
    outcomes: Counter[str] = Counter()
    with TemporaryDirectory() as place:
        originals = []
        for number, way in enumerate(WAYS):
            (Path(place) / str(number)).mkdir()
            originals.append(Original(Path(place) / str(number), way))
        for seed in range(first, first + times):
            original = originals[seed % len(originals)]
            try:
                outcomes[play(original, Path(place) / "damaged", seed)] += 1
            except Exception as error:
                outcomes["FAILED"] += 1
                print(type(error).__name__, WAYS[seed % len(WAYS)], error)
    for outcome, number in sorted(outcomes.items()):
        print(f"{number:6} {outcome}")
    return outcomes["FAILED"]


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
