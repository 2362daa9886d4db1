"""One cluster's remote list: jobs that tests and the workload change by explicit calls.

Sorted indices are built when first asked for and kept up to date from then on.
"""

import random
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from copy import deepcopy
from typing import Any

from exporter.simulator.columns import GONE, Columns
from exporter.simulator.identity import identity, number_of, scrambled, unscrambled
from exporter.simulator.listed import (
    Change,
    JobKey,
    JobRow,
    ListedJob,
    Listing,
    Order,
    TieOrder,
    Transition,
)
from exporter.simulator.ordering import OrderedKeys

_LOW = 0xFFFFFFFF
_MOST_INDICES = 1000
_TIELESS = frozenset({Order.JOB_ID, Order.UUID})
_ANY = -1

_Filter = tuple[int, int, int]
_IndexName = tuple[Order, bool]


class JobList:
    """The list of one cluster. Not locked: whoever shares it between threads does that."""

    def __init__(self, *, first_job_id: int = 10001, uuid_salt: int = 0) -> None:
        """``uuid_salt`` makes the identities of two lists differ; same salt, same identities."""
        self._first_job_id = first_job_id
        self._salt = uuid_salt
        self._columns = Columns()
        self._length = 0
        self._indices: dict[_Filter, dict[_IndexName, OrderedKeys]] = {}
        self._shapes: set[tuple[bool, bool, bool]] = set()
        self.still_transitions: frozenset[Transition] = frozenset()
        """Those that leave ``modified_time`` where it was, unless a call says otherwise."""
        self.changes = 0
        """How many changes were made, of any kind."""
        self.log: list[Change] | None = None
        """The changes, for whoever asks for them by putting a list here."""

    def __len__(self) -> int:
        return self._length

    # Changes

    def submit(
        self, at: float, *, queue: str, user: str, cores: int = 1, status: str = "pending"
    ) -> str:
        """Add a job at the moment ``at``; returns its ``hpcjob_uuid``."""
        second = int(at)
        started = second if status == "running" else None
        return self.load_one(JobRow(status, queue, user, cores, second, started, second))

    def start(self, uuid: str, at: float, *, moves_modified: bool | None = None) -> None:
        """Pending becomes running."""
        number = self._number(uuid)
        self._change(
            number, Transition.START, at, moves_modified, status="running", started_at=int(at)
        )

    def end(
        self,
        uuid: str,
        at: float,
        status: str = "finished",
        *,
        moves_modified: bool | None = None,
    ) -> None:
        """The job ends in ``status``."""
        self._change(self._number(uuid), Transition.END, at, moves_modified, status=status)

    def cancel(self, uuid: str, at: float, *, moves_modified: bool | None = None) -> None:
        """The job is cancelled, whether it waits or runs."""
        self._change(self._number(uuid), Transition.CANCEL, at, moves_modified, status="cancelled")

    def requeue(self, uuid: str, at: float, *, moves_modified: bool | None = None) -> None:
        """The job waits again, also one that had ended; its submit time stays."""
        number = self._number(uuid)
        self._change(
            number, Transition.REQUEUE, at, moves_modified, status="pending", started_at=None
        )

    def suspend(
        self,
        uuid: str,
        at: float,
        status: str = "suspended",
        *,
        moves_modified: bool | None = None,
    ) -> None:
        """The job is held, in a status that the API's documentation does not list."""
        self._change(self._number(uuid), Transition.SUSPEND, at, moves_modified, status=status)

    def resume(self, uuid: str, at: float, *, moves_modified: bool | None = None) -> None:
        """A held job runs on; its start time stays."""
        self._change(self._number(uuid), Transition.RESUME, at, moves_modified, status="running")

    def edit(
        self,
        uuid: str,
        at: float,
        *,
        status: str | None = None,
        queue: str | None = None,
        user: str | None = None,
        cores: int | None = None,
        moves_modified: bool | None = False,
    ) -> None:
        """Change anything of a job, by default without moving ``modified_time``."""
        wanted = {"status": status, "queue": queue, "user": user, "cores": cores}
        changed = {name: value for name, value in wanted.items() if value is not None}
        self._change(self._number(uuid), Transition.EDIT, at, moves_modified, **changed)

    def delete(self, uuids: Iterable[str]) -> None:
        """The jobs leave the list."""
        for uuid in uuids:
            self._put(self._number(uuid), None, at=None)

    def put_back(self, uuid: str, row: JobRow) -> None:
        """A job that has left the list is there again, as it was."""
        self._put(number_of(uuid, self._salt), row, at=None)

    def row(self, uuid: str) -> JobRow:
        """The job as ``put_back`` takes it; ``KeyError`` if it is not in the list."""
        return self._columns.row(self._number(uuid))

    def load_one(self, row: JobRow) -> str:
        """Add one job as it is; returns its ``hpcjob_uuid``."""
        number = self._append(row)
        self._index(number)
        return identity(number, self._salt)

    def load(self, rows: Iterable[JobRow]) -> None:
        """Add many jobs as they are. Drops the indices: they are built anew when asked for."""
        self._indices.clear()
        self._shapes.clear()
        for row in rows:
            self._append(row)

    def follow(self, change: Change) -> None:
        """Take over a change of the list that this one is a copy of."""
        if change.number < len(self._columns):
            self._put(change.number, change.row, at=change.at)
        elif change.row is not None:
            self.load_one(change.row)

    def copy(self) -> "JobList":
        """A list of its own with the same jobs, whose changes are not logged."""
        copied = JobList(first_job_id=self._first_job_id, uuid_salt=self._salt)
        copied._columns = deepcopy(self._columns)
        copied._length = self._length
        return copied

    # Questions

    def __contains__(self, uuid: object) -> bool:
        try:
            self._number(str(uuid))
        except KeyError:
            return False
        return True

    def get(self, uuid: str) -> ListedJob:
        """The job; ``KeyError`` if it is not in the list."""
        return self._listed(self._number(uuid))

    def jobs(self) -> Iterator[ListedJob]:
        """Every job, in the order of submission; a plain loop, independent of the indices."""
        for number, status in enumerate(self._columns.status):
            if status != GONE:
                yield self._listed(number)

    def uuids(self, statuses: Container[str] | None = None) -> list[str]:
        """The identities of all jobs, or of those in some statuses, in the order of submission."""
        names, salt = self._columns.statuses.names, self._salt
        wanted = {
            code for code, name in enumerate(names)
            if code != GONE and (statuses is None or name in statuses)
        }  # fmt: skip
        listed = enumerate(self._columns.status)
        return [identity(number, salt) for number, status in listed if status in wanted]

    def counts(self) -> Counter[JobKey]:
        """Jobs by status, queue and user; a plain loop, independent of the indices."""
        columns = self._columns
        listed = Counter(zip(columns.status, columns.queue, columns.user, strict=True))
        statuses, queues, users = (
            each.names for each in (columns.statuses, columns.queues, columns.users)
        )
        return Counter(
            {
                JobKey(statuses[status], queues[queue], users[user]): jobs
                for (status, queue, user), jobs in listed.items()
                if status != GONE
            }
        )

    def page(
        self,
        *,
        order: Order = Order.SUBMITTED,
        descending: bool = True,
        offset: int = 0,
        limit: int = 100,
        status: str | None = None,
        queue: str | None = None,
        user: str | None = None,
        ties: TieOrder = TieOrder.STABLE,
        rng: random.Random | None = None,
    ) -> Listing:
        """The jobs at ``offset`` of the sorted and filtered list. ``rng`` shuffles ties."""
        flipped = descending != (ties is TieOrder.REVERSED)
        index = self._find_index(status, queue, user, order, flipped)
        if index is None:
            return Listing([], 0)
        keys = index.page(offset, limit, descending=descending)
        if ties is TieOrder.SHUFFLED and order not in _TIELESS:
            keys = index.shuffled(keys, offset, rng or random.Random(), descending=descending)
        numbers = (self._number_of_key(key, order, flipped) for key in keys)
        return Listing([self._listed(number) for number in numbers], len(index))

    def matching(
        self, *, status: str | None = None, queue: str | None = None, user: str | None = None
    ) -> int:
        """How many jobs match."""
        return self.page(limit=0, status=status, queue=queue, user=user).matching

    # Inside: a job's number is its place in the columns

    def _append(self, row: JobRow) -> int:
        number = self._columns.append(row)
        self._length += 1
        self._note(row.modified_at, number, row)
        return number

    def _change(
        self,
        number: int,
        transition: Transition,
        at: float,
        moves_modified: bool | None,
        **changed: Any,
    ) -> None:
        row = self._columns.row(number)
        if moves_modified is None:
            moves_modified = transition not in self.still_transitions
        if moves_modified:
            changed["modified_at"] = int(at)
        self._put(number, row._replace(**changed), at=at)

    def _put(self, number: int, row: JobRow | None, *, at: float | None) -> None:
        was_listed = self._columns.status[number] != GONE
        if was_listed:
            self._unindex(number)
        self._columns.put(number, row)
        if row is not None:
            self._index(number)
        self._length += (row is not None) - was_listed
        self._note(at, number, row)

    def _note(self, at: float | None, number: int, row: JobRow | None) -> None:
        self.changes += 1
        if self.log is not None:
            self.log.append(Change(at, number, row))

    def _listed(self, number: int) -> ListedJob:
        values = self._columns.values(number)
        return ListedJob(identity(number, self._salt), self._first_job_id + number, *values)

    def _number(self, uuid: str) -> int:
        number = number_of(uuid, self._salt)
        if number >= len(self._columns.status) or self._columns.status[number] == GONE:
            raise KeyError(uuid)
        return number

    def _key(self, number: int, order: Order, flipped: bool) -> int:
        if order is Order.JOB_ID:
            return number
        if order is Order.UUID:
            return scrambled(number, self._salt)
        if order is Order.MODIFIED:
            at = self._columns.modified[number]
        elif order is Order.SUBMITTED:
            at = self._columns.submitted[number]
        else:
            at = max(0, self._columns.started[number])
        return at << 32 | (_LOW - number if flipped else number)

    def _number_of_key(self, key: int, order: Order, flipped: bool) -> int:
        if order is Order.JOB_ID:
            return key
        if order is Order.UUID:
            return unscrambled(key, self._salt)
        return _LOW - (key & _LOW) if flipped else key & _LOW

    def _find_index(
        self, status: str | None, queue: str | None, user: str | None, order: Order, flipped: bool
    ) -> OrderedKeys | None:
        """None if a filter names what no job ever had."""
        wanted = (
            _ANY if status is None else self._columns.statuses.by_name.get(status),
            _ANY if queue is None else self._columns.queues.by_name.get(queue),
            _ANY if user is None else self._columns.users.by_name.get(user),
        )
        if wanted[0] is None or wanted[1] is None or wanted[2] is None:
            return None
        by_filter: _Filter = (wanted[0], wanted[1], wanted[2])
        name = (order, flipped and order not in _TIELESS)
        index = self._indices.get(by_filter, {}).get(name)
        if index is None:
            if len(self._indices) >= _MOST_INDICES:
                self._indices.clear()
            keys = (self._key(number, *name) for number in self._matching_numbers(by_filter))
            index = OrderedKeys(keys)
            self._indices.setdefault(by_filter, {})[name] = index
            self._shapes.add((wanted[0] != _ANY, wanted[1] != _ANY, wanted[2] != _ANY))
        return index

    def _matching_numbers(self, by_filter: _Filter) -> Iterable[int]:
        status, queue, user = by_filter
        numbers: Iterable[int] = range(len(self._columns.status))
        if status == _ANY:
            numbers = (number for number in numbers if self._columns.status[number] != GONE)
        else:
            numbers = (number for number, code in enumerate(self._columns.status) if code == status)
        if queue != _ANY:
            numbers = (number for number in numbers if self._columns.queue[number] == queue)
        if user != _ANY:
            numbers = (number for number in numbers if self._columns.user[number] == user)
        return numbers

    def _indices_of(self, number: int) -> Iterator[tuple[_IndexName, OrderedKeys]]:
        status, queue, user = (
            self._columns.status[number],
            self._columns.queue[number],
            self._columns.user[number],
        )
        for by_status, by_queue, by_user in self._shapes:
            by_filter = (
                status if by_status else _ANY,
                queue if by_queue else _ANY,
                user if by_user else _ANY,
            )
            built = self._indices.get(by_filter)
            if built:
                yield from built.items()

    def _index(self, number: int) -> None:
        for name, index in self._indices_of(number):
            index.add(self._key(number, *name))

    def _unindex(self, number: int) -> None:
        for name, index in self._indices_of(number):
            index.remove(self._key(number, *name))
