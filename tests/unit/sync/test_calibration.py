"""Finding the profile of a server, in few calls: at first contact, and each trait again."""

from contextlib import suppress
from dataclasses import replace

import pytest

from exporter.api.refusal import http_error
from exporter.errors import RefusedError, SyncError, TransportError
from exporter.model import JobListQuery, Page
from exporter.simulator import DIALECTS, DOCUMENTED, Dialect, JobList, JobRow, Order
from exporter.sync.calibration import learn_lag
from tests.unit.sync.contact import Contact
from tests.unit.sync.settled import (
    SERVERS,
    SETTINGS,
    TURNS_OF_AN_AUDIT_INTERVAL,
    Traffic,
    calls_of_a_turn,
    fresh,
    rest_for_one_audit_interval,
)
from tests.unit.sync.simulated import START_AT, SimulatedCluster

FIRST_CONTACT_CALLS = 12
ONE_TRAIT_CALLS = 4
COUNT = 1_003


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_the_first_contact_takes_few_calls(name: str) -> None:
    contact = Contact(fresh(COUNT, SERVERS[name]))
    assert contact.find_filter() + contact.find_order() <= FIRST_CONTACT_CALLS


class TestStatusFilter:
    @pytest.mark.parametrize(
        ("name", "value", "calls"),
        [
            ("documented", "both", 1),
            ("job-status", "both", 1),
            ("console", "both", 1),
            ("either-status", "both", 1),
            ("statuses-refused", "both", 1),
            ("filtered-pages-of-50", "both", 1),
            # Whoever refuses parameters that are not known is asked under each name.
            ("jobs-status-strict", "jobs_status", 2),
            ("job-status-strict", "job_status", 3),
            ("console-strict", "job_status", 3),
            # Without a total that tells, one page more is needed.
            ("total-whole", "both", 2),
            ("total-missing", "both", 2),
            ("filters-ignored", "none", 1),
            ("nothing-honoured", "none", 1),
            ("filters-empty", "none", 3),
            ("filters-empty-pending", "none", 3),
            ("filter-after-cut-total-whole", "none", 2),
        ],
    )
    @pytest.mark.parametrize("active", [60, 9])
    def test_table(self, name: str, value: str, calls: int, active: int) -> None:
        listed = JobList()
        for number in range(COUNT):
            uuid = listed.submit(START_AT - 9000 + number, queue="q", user="u")
            if number < COUNT - active or number % 3 == 0:
                listed.start(uuid, START_AT - 8000 + number)
            if number < COUNT - active:
                listed.end(uuid, START_AT - 7000 + number)
        contact = Contact(SimulatedCluster(SERVERS[name], SETTINGS, jobs=listed))
        assert contact.find_filter() <= calls + 1 <= ONE_TRAIT_CALLS
        assert contact.sync.profile.status_filter.value == value

    @pytest.mark.parametrize("name", ["filter-after-cut", "filter-after-cut-total-whole"])
    def test_a_page_that_is_cut_before_it_is_filtered_is_no_filter(self, name: str) -> None:
        """At first all active jobs stand on one page, where that makes no difference."""
        listed = JobList()
        for number in range(COUNT):
            uuid = listed.submit(START_AT - 9000 + number, queue="q", user="u")
            if number < COUNT - 9:
                listed.cancel(uuid, START_AT - 8000 + number)
        cluster = SimulatedCluster(SERVERS[name], SETTINGS, jobs=listed)
        for _ in range(20):
            for _ in range(15):
                cluster.now_at += 1
                cluster.jobs.submit(cluster.now_at, queue="q", user="u")
            with suppress(SyncError):
                cluster.turn()
                assert not cluster.ledger.progress.active_known or cluster.active_is_right()
        assert cluster.counted() == cluster.true_counts()
        assert cluster.profile.status_filter.value in ("none", "unknown")

    @pytest.mark.parametrize("name", ["filter-after-cut", "filter-after-cut-total-whole"])
    def test_nor_if_all_jobs_of_the_head_wait(self, name: str) -> None:
        listed = JobList()
        for number in range(COUNT):
            uuid = listed.submit(START_AT - 9000 + number, queue="q", user="u")
            if number < COUNT - 150:
                listed.start(uuid, START_AT - 9000 + number)
        contact = Contact(SimulatedCluster(SERVERS[name], SETTINGS, jobs=listed))
        assert contact.find_filter() <= ONE_TRAIT_CALLS
        assert contact.sync.profile.status_filter.value == "none"

    def test_no_job_is_active(self) -> None:
        """Then a status of those that have ended shows whether the filter ever matches any."""
        for name, value in (("documented", "both"), ("filters-empty", "none")):
            listed = JobList()
            for number in range(COUNT):
                listed.cancel(listed.submit(START_AT - number, queue="q", user="u"), START_AT - 9)
            contact = Contact(SimulatedCluster(SERVERS[name], SETTINGS, jobs=listed))
            assert contact.find_filter() <= ONE_TRAIT_CALLS
            assert contact.sync.profile.status_filter.value == value

    @pytest.mark.parametrize("waiting", [0, 3])
    def test_the_evidence_says_what_was_shown(self, waiting: int) -> None:
        """It said that no job waits where none was on the head and in the middle of the list."""
        listed = JobList()
        for number in range(COUNT):
            uuid = listed.submit(START_AT - 9000 + number, queue="q", user="u")
            if number >= waiting:
                listed.cancel(uuid, START_AT - 7000 + number)
        contact = Contact(SimulatedCluster(DOCUMENTED, SETTINGS, jobs=listed))
        contact.find_filter()
        shown = "asked for pending jobs, it shows 1 of them and no others"
        evidence = shown if waiting else "no job is pending, and it shows none"
        assert contact.sync.profile.status_filter.evidence == evidence

    @pytest.mark.parametrize("reason", ["denied", "quota"])
    def test_a_refusal_for_another_reason_says_nothing_of_it(self, reason: str) -> None:
        contact = Contact(fresh(COUNT))

        def refuse(query: JobListQuery) -> None:
            raise RefusedError(1400, reason, "no", retryable=False, advice="")

        contact.cluster.before_call = refuse
        with pytest.raises(RefusedError):
            contact.find_filter()
        assert contact.sync.profile.status_filter.value == "unknown"

    def test_a_call_that_fails_leaves_nothing_half_found(self) -> None:
        contact = Contact(fresh(COUNT))

        def fail(query: JobListQuery) -> None:
            raise TransportError("timeout", "no answer", retryable=True, advice="")

        contact.cluster.before_call = fail
        with pytest.raises(TransportError):
            contact.find_filter()
        assert contact.sync.profile.status_filter.value == "unknown"

    def test_one_that_works_and_does_not_again_and_again_is_done_without(self) -> None:
        cluster = fresh(COUNT)
        list_jobs = cluster.list_jobs

        def every_second_page_is_of_all(query: JobListQuery) -> Page:
            if query.status == "running":
                query = replace(query, status=None)
            return list_jobs(query)

        cluster.list_jobs = every_second_page_is_of_all  # type: ignore[method-assign]
        for _ in range(20):
            with suppress(SyncError):
                cluster.turn()
        assert cluster.profile.status_filter.value == "none"
        assert cluster.counted() == cluster.true_counts()


class TestOrder:
    @pytest.mark.parametrize(
        ("dialect", "value"),
        [
            (DOCUMENTED, "change"),
            (DIALECTS["always-descending"], "change"),
            (DIALECTS["sort-by-modified-only"], "change"),  # submission being its default
            (replace(DIALECTS["sort-by-modified-only"], default_order=Order.UUID), "change_only"),
            (
                replace(
                    DOCUMENTED, sort_keys=frozenset({Order.MODIFIED}), unknown_sort_key="problem"
                ),
                "change_only",
            ),
            (SERVERS["console"], "submission"),
            (SERVERS["console-strict"], "submission"),
            (SERVERS["console-by-id"], "submission"),
            (replace(SERVERS["console"], unknown_sort_key="problem-500"), "submission"),
            (DIALECTS["sort-ignored"], "submission"),
            (DIALECTS["sort-refused"], "default"),
            (DIALECTS["reverse-ignored"], "default"),
            (DIALECTS["sort-ignored-by-id"], "none"),
            (DIALECTS["sort-ignored-arbitrary"], "none"),
            (replace(DIALECTS["sort-refused"], default_order=Order.UUID), "none"),
        ],
    )
    def test_table(self, dialect: Dialect, value: str) -> None:
        contact = Contact(fresh(COUNT, dialect))
        calls = contact.find_order()
        assert contact.sync.profile.order.value == value
        assert calls <= FIRST_CONTACT_CALLS // 2 + 1

    @pytest.mark.parametrize(
        ("name", "field"),
        [
            ("documented", "modified_time"),
            ("sort-ignored", "submitted_time"),
            ("sort-refused", "submitted_time"),
        ],
    )
    def test_the_evidence_has_the_names_of_the_api(self, name: str, field: str) -> None:
        contact = Contact(fresh(COUNT, SERVERS[name]))
        contact.find_order()
        assert contact.sync.profile.order.evidence.endswith(f"are sorted by {field}")

    @pytest.mark.parametrize("name", sorted(SERVERS))
    def test_found_again_it_takes_less(self, name: str) -> None:
        contact = Contact(fresh(COUNT, SERVERS[name]))
        contact.find_order()
        found = contact.sync.profile.order.value
        for _ in range(2):
            contact.contradict("order")
        assert contact.find_order() <= ONE_TRAIT_CALLS
        assert contact.sync.profile.order.value == found

    def test_a_server_that_has_changed_is_found_to_be_another(self) -> None:
        contact = Contact(fresh(COUNT))
        contact.find_order()
        contact.contradict("order")
        contact.cluster.cluster.dialect = SERVERS["sort-refused"]
        contact.find_order()
        assert contact.sync.profile.order.value == "default"

    def test_one_answer_that_fails_is_no_proof_against_it(self) -> None:
        """Code 5000 may be meant for the sort key, or for nothing at all."""
        cluster = fresh(COUNT)
        refused: list[JobListQuery] = []

        def refuse_once(query: JobListQuery) -> None:
            if query.sort_key == "modified_time" and query.offset and not refused:
                refused.append(query)
                raise RefusedError(5000, "internal", "busy", retryable=True, advice="")

        cluster.before_call = refuse_once
        for _ in range(90):
            with suppress(SyncError):  # once
                cluster.turn()
        assert refused
        assert cluster.profile.order.value == "change"

    @pytest.mark.parametrize("seconds", [0, 1])
    def test_jobs_of_one_moment_prove_nothing(self, seconds: int) -> None:
        listed = JobList()
        for number in range(300):
            listed.submit(START_AT - 900 + number * seconds, queue="q", user="u")
        contact = Contact(SimulatedCluster(DOCUMENTED, SETTINGS, jobs=listed))
        contact.find_order()
        assert contact.sync.profile.order.value == ("change" if seconds else "unknown")


@pytest.mark.parametrize("name", ["console", "sort-ignored", "nothing-honoured-arbitrary"])
def test_nor_is_a_better_one_looked_for_without_an_end_among_them(name: str) -> None:
    """An hour later, a list of nothing but one job array neither proves it nor contradicts it."""
    cluster = fresh(COUNT, SERVERS[name])
    for _ in range(15):
        cluster.turn()
    value = cluster.profile.order.value
    cluster.jobs.delete(cluster.jobs.uuids())
    for _ in range(250):
        cluster.jobs.submit(cluster.now_at, queue="q", user="u")
    with suppress(SyncError):  # most of the list is gone
        cluster.turn()
    cluster.turn()
    cluster.now_at += 3600
    cluster.calls_between = 100
    assert calls_of_a_turn(cluster) < 30
    assert cluster.profile.order.value == value


@pytest.mark.parametrize("find", ["find_filter", "find_order", "find_depth"])
def test_an_outage_that_begins_meanwhile_is_no_finding(find: str) -> None:
    """HTTP status 500 may be meant for what was asked for. If the head is refused, too, it is not."""
    contact = Contact(fresh(COUNT))
    before = contact.sync.profile

    def fail(query: JobListQuery) -> None:
        raise http_error(500)

    contact.cluster.before_call = fail
    with pytest.raises(RefusedError):
        getattr(contact, find)()
    assert contact.sync.profile == before


class TestOrderOfAList:
    """Whatever is in the list, and whatever it does meanwhile."""

    @pytest.mark.parametrize("count", [150, 250, 300, 500, 1_000])
    def test_the_order_of_a_list_of_any_length_is_proven(self, count: int) -> None:
        for seed in range(4):
            cluster = fresh(count, seed=seed)
            strategies = [cluster.turn().strategy for _ in range(3)]
            assert strategies[-1] == "delta", (seed, strategies)
            calls = sorted(calls_of_a_turn(cluster) for _ in range(4))
            assert calls == [1, 1, 1, 5], "one of them makes the four checks of a list that rests"

    @pytest.mark.parametrize("seed", range(4))
    def test_also_while_the_list_moves(self, seed: int) -> None:
        cluster = fresh(3_000, seed=seed)
        traffic = Traffic(cluster, seed)
        cluster.between_calls = lambda: traffic.pass_by(2)
        strategies = [cluster.turn().strategy for _ in range(3)]
        assert strategies[-1] == "delta"

    @pytest.mark.parametrize("count", [150, 300, 1_000])
    @pytest.mark.parametrize(
        "name", ["sort-ignored", "sort-ignored-by-id", "sort-ignored-arbitrary", "reverse-ignored"]
    )
    def test_another_order_is_never_taken_for_it(self, name: str, count: int) -> None:
        cluster = fresh(count, DIALECTS[name])
        for _ in range(4):
            assert cluster.turn().strategy in ("sweep", "scan")
        assert cluster.profile.order.value not in ("change", "change_only")

    def test_a_list_whose_head_is_sorted_by_chance(self) -> None:
        """Nobody's job has changed for long but a few: only the depth shows that nothing is sorted."""
        listed = JobList()
        for number in range(1_000):
            at = START_AT - 900_000 + number * 10
            uuid = listed.submit(at, queue="q", user="u")
            ended = at + (5 if number > 400 or number % 7 else 50_000)
            listed.start(uuid, at + 1)
            listed.end(uuid, ended)
        cluster = SimulatedCluster(DIALECTS["sort-ignored"], SETTINGS, jobs=listed)
        for _ in range(12):
            cluster.turn()
        assert cluster.counted() == cluster.true_counts()

    def test_the_head_alone_proves_nothing(self) -> None:
        """No total tells how long the list is, and where it is looked for first, nothing is."""
        listed = JobList()
        for number in range(180):
            at = START_AT - 900_000 + number * 10
            uuid = listed.submit(at, queue="q", user="u")
            listed.start(uuid, at + 1)
            listed.end(uuid, at + 2 + (number * 37 % 90 if number < 120 else 0))
        dialect = replace(DIALECTS["nothing-honoured-total-missing"], page_cap=50)
        cluster = SimulatedCluster(dialect, SETTINGS, jobs=listed)
        for _ in range(3):
            assert cluster.turn().strategy == "scan"
        assert cluster.counted() == cluster.true_counts()
        assert cluster.profile.order.value in ("none", "unknown")


class TestDepth:
    """How far down a list is shown, and whether its total is right."""

    @pytest.mark.parametrize("beyond", ["empty", "1100", "5000", "problem"])
    @pytest.mark.parametrize("limit", [0, 200, 500, 1_000])
    def test_windows(self, limit: int, beyond: str) -> None:
        dialect = replace(DOCUMENTED, depth_limit=limit, beyond_depth=beyond)  # type: ignore[arg-type]
        contact = Contact(fresh(COUNT, dialect))
        assert contact.find_depth() <= ONE_TRAIT_CALLS
        assert contact.sync.profile.depth.value == (str(limit) if limit else "unlimited")
        assert contact.sync.profile.total_count.value == "unknown"

    @pytest.mark.parametrize("beyond", ["empty", "1100", "5000", "problem"])
    @pytest.mark.parametrize("limit", [200, 1_000])
    def test_windows_for_the_offset_alone(self, limit: int, beyond: str) -> None:
        """They show one job more than a whole number, and their total was taken for wrong."""
        dialect = replace(
            DOCUMENTED,
            depth_limit=limit,
            depth_of="offset",
            beyond_depth=beyond,  # type: ignore[arg-type]
        )
        contact = Contact(fresh(COUNT, dialect))
        assert contact.find_depth() <= ONE_TRAIT_CALLS + 1
        assert contact.sync.profile.depth.value == str(limit + 1)
        assert contact.sync.profile.total_count.value == "unknown"

    @pytest.mark.parametrize("beyond", [1, 37, 5_000])
    def test_a_total_that_counts_too_many_is_done_without(self, beyond: int) -> None:
        cluster = fresh(COUNT)
        cluster.distort = lambda page: replace(page, total_count=COUNT + beyond)
        contact = Contact(cluster)
        contact.find_depth()
        assert contact.sync.profile.total_count.value == "unknown"  # one empty answer may be a lie
        contact.find_depth()
        assert contact.sync.profile.total_count.value == "none"
        assert contact.sync.profile.depth.value == "unknown"

    @pytest.mark.parametrize("too_many", [0, 2])
    @pytest.mark.parametrize("nth", range(1, 6))
    def test_one_empty_answer_makes_no_depth(self, too_many: int, nth: int) -> None:
        cluster = fresh(COUNT)
        contact = Contact(cluster)
        contact.head = replace(contact.head, total=COUNT + too_many)
        lying = cluster.calls + nth
        cluster.distort = lambda page: replace(page, jobs=()) if cluster.calls == lying else page
        contact.find_depth()
        assert contact.sync.profile.depth.value in ("unlimited", "unknown")

    @pytest.mark.parametrize("beyond", ["1100", "5000", "problem"])
    def test_where_no_total_is_told_it_is_found_as_well(self, beyond: str) -> None:
        """It was not, and the list was read down to it again and again, without a word."""
        dialect = replace(
            DOCUMENTED,
            total_count="missing",
            depth_limit=200,
            beyond_depth=beyond,  # type: ignore[arg-type]
        )
        cluster = fresh(COUNT, dialect)
        for _ in range(4):
            with suppress(SyncError, RefusedError):
                cluster.turn()
        assert cluster.profile.depth.value == "200"
        scanned = 0
        for _ in range(TURNS_OF_AN_AUDIT_INTERVAL):
            cluster.now_at += 60
            cluster.refresh()
            assert cluster.active_is_right()
            assert cluster.replica.obstacle is not None
            before = cluster.calls
            with suppress(SyncError):
                cluster.background()
            scanned += cluster.calls - before
        assert scanned <= 2 * 200 // 99

    def test_of_a_very_long_list(self) -> None:
        cluster = fresh(COUNT, replace(DOCUMENTED, depth_limit=200))
        cluster.distort = lambda page: replace(page, total_count=2_000_000)
        contact = Contact(cluster)
        assert contact.find_depth() <= 6
        assert contact.sync.profile.depth.value == "200"

    @pytest.mark.parametrize("name", ["window", "window-refused"])
    def test_a_list_that_grows_beyond_it_is_read_from_both_ends(self, name: str) -> None:
        cluster = fresh(COUNT, replace(SERVERS[name], depth_limit=1_000, depth_of="page"))
        for _ in range(2):
            rest_for_one_audit_interval(cluster, doubts=2)
        assert cluster.profile.depth.value == "1000"
        assert cluster.ledger.progress.complete
        assert cluster.counted() == cluster.true_counts()

    @pytest.mark.parametrize("name", ["window", "window-refused"])
    def test_what_neither_end_shows_is_not_taken_for_the_history(self, name: str) -> None:
        cluster = fresh(COUNT, replace(SERVERS[name], depth_limit=200))
        traffic = Traffic(cluster)
        for _ in range(20):
            traffic.pass_by(2)
            with suppress(SyncError):
                cluster.turn()
            assert not cluster.ledger.progress.complete
            assert not cluster.ledger.progress.active_known or cluster.active_is_right()
        assert cluster.ledger.progress.active_known


class TestWhatShowsByItself:
    @pytest.mark.parametrize(
        ("name", "value"), [("documented", "filtered"), ("total-whole", "cluster")]
    )
    def test_what_totals_count(self, name: str, value: str) -> None:
        cluster = fresh(COUNT, SERVERS[name])
        cluster.turn()
        assert cluster.profile.total_count.value == value

    @pytest.mark.parametrize("cap", [20, 50, 100])
    def test_how_long_pages_are(self, cap: int) -> None:
        cluster = fresh(COUNT, replace(DOCUMENTED, page_cap=cap))
        cluster.turn()
        assert cluster.profile.page_size.value == str(cap)

    @pytest.mark.parametrize(
        ("behind_seconds", "known", "value"),
        [
            (0.0, None, "unknown"),
            (0.4, None, "5"),
            (5.0, None, "5"),
            (5.1, None, "10"),
            (60.0, None, "60"),
            (300.0, None, "300"),
            # So old is no answer from the past, but a change that is not stamped.
            (301.0, None, "unknown"),
            (4.0, "20", "20"),
            (20.0, "20", "20"),
            (21.0, "20", "30"),
        ],
    )
    def test_how_far_answers_are_behind(
        self, behind_seconds: float, known: str | None, value: str
    ) -> None:
        contact = Contact(fresh(3))
        if known:
            contact.sync.found("lag", known, "")
        contact.sync.intake.stale_seconds = behind_seconds
        learn_lag(contact.sync)
        assert contact.sync.profile.lag.value == value

    def test_a_lag_that_no_answer_has_shown_for_a_day_is_forgotten(self) -> None:
        contact = Contact(fresh(3))
        contact.sync.found("lag", "300", "an answer was 290 s behind an earlier one")
        for hours, value in ((23, "300"), (25, "unknown")):
            contact.sync.tell_time(START_AT + hours * 3600)
            learn_lag(contact.sync)
            assert contact.sync.profile.lag.value == value


def test_a_total_of_a_list_that_grows_is_not_taken_for_one_of_hidden_jobs() -> None:
    listed = JobList()
    for at in range(int(START_AT) - 200, int(START_AT)):
        listed.load_one(JobRow("finished", "q", "u", 1, at, at, at))
    cluster = SimulatedCluster(replace(DOCUMENTED, total_count="whole"), SETTINGS, jobs=listed)
    contact = Contact(cluster)
    for _ in range(2):
        cluster.jobs.start(cluster.jobs.submit(START_AT, queue="q", user="u"), START_AT)
    contact.find_filter()
    assert contact.sync.filters
