"""Finding the profile of a server, in few calls."""


class TestOrder:
    @pytest.mark.parametrize("count", [150, 250, 300, 500, 1_000])
    def test_the_order_of_a_list_of_any_length_is_proven(self, count: int) -> None:
        for seed in range(4):
            cluster = fresh(count, seed=seed)
            strategies = [cluster.turn().strategy for _ in range(4)]
            assert strategies[-1] == "delta", (seed, strategies)
            assert calls_of_a_turn(cluster) <= 4

    @pytest.mark.parametrize("seed", range(4))
    def test_also_while_the_list_moves(self, seed: int) -> None:
        cluster = fresh(3_000, seed=seed)
        traffic = Traffic(cluster, seed)
        cluster.between_calls = lambda: traffic.pass_by(2)
        strategies = [cluster.turn().strategy for _ in range(4)]
        assert strategies[-1] == "delta"

    @pytest.mark.parametrize("count", [150, 300, 1_000])
    @pytest.mark.parametrize(
        "name", ["sort-ignored", "sort-ignored-by-id", "sort-ignored-arbitrary", "reverse-ignored"]
    )
    def test_another_order_is_never_taken_for_it(self, name: str, count: int) -> None:
        cluster = fresh(count, DIALECTS[name])
        for _ in range(4):
            assert cluster.turn().strategy in ("sweep", "scan")
        assert cluster.ledger.progress.sort != "honoured"

    def test_a_list_whose_head_is_sorted_by_chance(self) -> None:
        """Nobody's job has changed for long but a few: only the depth shows that nothing is sorted."""
        listed = JobList()
        for number in range(1_000):
            at = START_AT - 900_000 + number * 10
            uuid = listed.submit(at, queue="q", user="u")
            ended = at + (5 if number > 400 or number % 7 else 50_000)
            listed.start(uuid, at + 1)
            listed.end(uuid, ended)
        cluster = PretendCluster(DIALECTS["sort-ignored"], SETTINGS, jobs=listed)
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
        cluster = PretendCluster(dialect, SETTINGS, jobs=listed)
        for _ in range(3):
            assert cluster.turn().strategy == "scan"
        assert cluster.counted() == cluster.true_counts()
        assert cluster.ledger.progress.sort == "ignored"
