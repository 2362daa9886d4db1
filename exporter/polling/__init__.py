"""When each cluster is synced, and with which calls.

``poller`` is the loop; each cluster has one. It runs the conversations of ``sync``: ``calling`` sends
the queries, also between two syncs. ``schedule`` says when the next sync is due, and what the cluster needs of the
budget; ``detector`` whether it can wait because nothing has changed, as the answers of cluster/list show.
"""
