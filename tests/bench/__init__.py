"""The figures that decide: ``python -m tests.bench`` measures them, beside a naive exporter.

figures     what a part gives; goals
followed    the exporter's own poller against a simulated cloud, in simulated time
stock       long lists, and ledgers that equal them
naive       the exporter that anybody writes in an afternoon
parts       all of them, in the order in which they run; each is a module of its name
report      the table, the JSON, docs/performance.md; plot draws its pictures
"""
