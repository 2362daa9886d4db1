"""When a cluster is asked, and by whose calls.

``poller`` is the loop, one for each cluster. It holds the other end of the conversations of ``sync``:
``calling`` sends what they ask for, ``background`` goes on with one between two syncs, ``ledger_keeper`` has the
ledger on disk or in memory. ``schedule`` says when the next sync is due, and ``detector``, shown the
listings by ``change_detection``, whether there is anything to ask. ``sync_cost`` is what all this takes.
"""
