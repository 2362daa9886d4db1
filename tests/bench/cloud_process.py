"""A simulated cloud with one long list, in a process of its own:
``python -m tests.bench.cloud_process JOBS ACTIVE CHANGES_A_MINUTE CLUSTERS``. So many
further clusters have the same list.

Prints its address and serves until its input ends.
"""

import sys
import threading
import time

from exporter.simulator import Cloud, JobList, fill
from exporter.simulator.server import SimulatorServer
from exporter.simulator.simulation import Simulation
from tests.bench.followed import CLUSTER_ID, START_AT
from tests.bench.stock import Churn

STEP_SECONDS = 0.5


def main(count: int, active: int, per_minute: float, clusters: int) -> None:
    jobs = JobList()
    fill(jobs, count, active=active, now_at=START_AT)
    cloud = Cloud(journal_limit=1)
    cloud.add_cluster(CLUSTER_ID, jobs=jobs)
    for number in range(clusters):
        cloud.add_cluster(f"ehpc-{number:08d}", jobs=jobs)
    simulation = Simulation(cloud)
    churn = Churn(jobs, per_minute=per_minute, at=time.time())

    def live() -> None:
        while not threading.Event().wait(STEP_SECONDS):
            with simulation.lock:
                churn(time.time())

    with SimulatorServer(simulation) as server:
        threading.Thread(target=live, name="churn", daemon=True).start()
        print(server.address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
