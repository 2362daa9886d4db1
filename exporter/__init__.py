"""ehpc-exporter: job counts of QingCloud and Shanhe E-HPC clusters, for Prometheus.

Words, one meaning each
-----------------------
scrape      Prometheus reads our ``/metrics``.
call        One HTTPS request to the cloud API; a retry is a new call.
page        One answer of job/list, up to 100 jobs.
sync        One pass that brings one cluster's ledger up to date.
ledger      All jobs known of one cluster, on disk.
end status  ``finished``, ``exited``, ``cancelled``; every other status may still change.
history     The jobs in an end status.
active      All other jobs, above all pending and running.
budget      The calls an account may still make in its sliding window.
capacity    What queues and nodes could run.
audit       A cheap check that the ledger still equals the remote list.
snapshot    Frozen numbers of one cluster at one moment.
publish     Make a snapshot the current one, in one assignment.
simulator   The simulated cloud, which speaks the real protocol; shipped with the program.

The map of the house (imports go down only; ``docs/architecture.md`` has the reasons)
-------------------------------------------------------------------------------------
cli         arguments, sub-commands, exit codes
daemon      builds every object from the Config, starts and stops them in order
config      YAML file -> frozen Config, or ConfigError naming the key
web         routes, landing page, the documentation, TLS and basic auth
simulator   the simulated cloud; imports nothing else of ours
logs        log set-up (logfmt, json), redaction
collector   current snapshots -> metric families
polling     when clusters are asked, and by whose calls: the loops
sync        keeping a ledger equal to the remote list: one sync
publishing  ledger -> snapshot, under the names that are shown
capacity    asking what clusters could run
ledger      one cluster's jobs and counters in SQLite
api         talking to the cloud
samples     samples as they are rendered: in runs, and by histogram
snapshot    frozen ClusterSnapshot; SnapshotBoard.publish() / current()
telemetry   the exporter's own counters
catalog     every metric: name, type, labels, help
clock       the only reader of real time
files       reading files that an operator names
yaml_tree   YAML text -> nodes that know their lines
errors      the exception tree
model       domain types
redaction   removing secrets from texts
labels      which queues and users are shown, and the groups of users
texts       what people read, in English and Chinese
profile     what is known of a server: traits with their evidence
"""

__version__ = "0.2.0"
