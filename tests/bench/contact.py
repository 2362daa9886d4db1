"""First contact with servers that differ: calls until the active counts, and calls of calibration."""

from collections.abc import Callable, Iterable, Iterator
from itertools import product

from exporter.model import END_STATUSES
from exporter.profile import TraitName
from exporter.simulator import Dialect
from exporter.sync.asking import Contradiction
from tests.bench.figures import WRONG, Figure, Findings, Part
from tests.bench.followed import Followed, Turn
from tests.bench.starting import goal
from tests.bench.workshop import Bench
from tests.unit.sync.contact import Contact
from tests.unit.sync.settled import SERVERS, fresh

NAMES = (
    "documented",
    "job-status",
    "either-status",
    "jobs-status-strict",
    "job-status-strict",
    "console",
    "console-strict",
)
ACTIVE = 500
FIRST_CONTACT_GOAL, ONE_TRAIT_GOAL = 12, 4


def measure(bench: Bench) -> Findings:
    """See the module."""
    findings = Findings()
    size, active = (2_000, 100) if bench.quick else (20_000, ACTIVE)
    names = ("job-status-strict",) if bench.quick else NAMES
    naive = None if bench.quick else bench.naive_look(size)["calls"]
    wrong = 0
    for name, profile_known in product(names, (False, True)):
        bench.tell(f"first contact with {name}")
        calls, wrongly = _first_counts(bench, SERVERS[name], size, active, profile_known)
        wrong += wrongly
        findings.figures.append(
            Figure(
                f"calls, {name}, {'profile known' if profile_known else 'nothing known'}",
                calls,
                naive,
                at_most=goal(active, profile_known=profile_known),
                exact=True,
            )
        )
    findings.figures += [
        Figure("active jobs in the published counts", wrong, unit=WRONG, at_most=0, exact=True),
        *_calibration(bench, 1_000 if bench.quick else size, names if bench.quick else SERVERS),
    ]
    findings.remarks.append(
        f"Calls on a first start until the counts of active jobs are published, {active} of {size:,}"
        " jobs. The goals are 8 + ceil(A/99) for A active jobs as long as nothing is known about the"
        " server, and 3 + ceil(A/99) once its profile is known. The servers are dialects of the"
        " simulator. The status filter is called jobs_status in documented and jobs-status-strict,"
        " either name will do in either-status, and it is job_status in the others. The strict ones"
        " refuse a request with a parameter that they do not know. The console ones sort by submission"
        " only. Calibration: the calls that find the status filter and the order, and those that find"
        " one trait again after a contradiction; the most that any dialect with a name takes. The page"
        " from which they start is not counted."
    )
    return findings


def _first_counts(
    bench: Bench, dialect: Dialect, size: int, active: int, profile_known: bool
) -> tuple[int, int]:
    """Calls until the active counts are published, and how many of these are wrong."""
    stock = bench.stock
    path = stock.ledger_with_profile(dialect) if profile_known else stock.new_path()
    followed = Followed(stock.jobs(size, active), path, dialect=dialect, after_turn=_end)
    turns = followed.run(3600)
    return sum(turn.calls for turn in turns), followed.shown_wrong(but=END_STATUSES)


def _end(followed: Followed, _: Turn) -> None:
    followed.end()


# -- calibration ------------------------------------------------------------------------------------


def _calibration(bench: Bench, size: int, names: Iterable[str]) -> Iterator[Figure]:
    finds: dict[TraitName, Callable[[Contact], int]] = {
        "status_filter": Contact.find_filter,
        "order": Contact.find_order,
        "depth": Contact.find_depth,
    }
    first: list[int] = []
    again: dict[TraitName, list[int]] = {trait: [] for trait in finds}
    for name in names:
        bench.tell(f"calibration with {name}")
        contact = Contact(fresh(size, SERVERS[name]))
        first.append(_first_calls(contact))
        for trait, find in finds.items():
            contact.contradict(trait)
            again[trait].append(find(contact))
    yield Figure(
        f"calibration at first contact, the most of {len(first)} servers",
        max(first), at_most=FIRST_CONTACT_GOAL, exact=True,
    )  # fmt: skip
    for trait, calls in again.items():
        name = f"calibration again, {trait}, the most of {len(calls)} servers"
        yield Figure(name, max(calls), at_most=ONE_TRAIT_GOAL, exact=True)


def _first_calls(contact: Contact) -> int:
    """Of a list that is longer than the server shows, this is seen on the way."""
    before = contact.cluster.calls
    contact.find_filter()
    try:
        contact.find_order()
    except Contradiction as contradiction:
        contact.contradict(contradiction.trait)
        contact.find_depth()
        contact.find_order()
    return contact.cluster.calls - before


PART = Part("contact", "First contact with a server", "naive exporter", measure)
