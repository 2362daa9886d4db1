"""Keeping the ledgers equal to the remote lists, with as few calls as the changes need.

A sync is a conversation: a generator that yields what to ask next and is sent the page that came
back. It decides from pages and from the ledger alone, so that every rule can be tested without a
network, a clock or a thread; ``poller`` is the only loop and holds the other end.

asking      what a conversation yields, and the words of its allowance
evidence    what answers prove about the server: order, filters, totals
total_count whether it counts the list at all
intake      records of the remote list -> ledger, transitions counted once
walk        reading a list that moves while one pages through it
delta       the head of the list, newest change first, down to what is known
sweep       the active jobs by status filter
scan        everything, in any order
backfill    the history, continued at the tail of what is known
ranks       places in the sorted list, and what pages and the ledger say of them
second      reading all jobs of one second, where they are more than a page
place       where the jobs of a moment stand
visit       looking jobs up there
reconcile   finding what differs, by bisection over ranks
settle      holding the total against the ledger, and what follows
audit       proving that nothing does
replica     one sync of one cluster: which of these, in which order
publishing  ledger -> frozen snapshot, as it is shown
schedule    who is due when, and how long after a failure
parts       what a poller is made of
calling     the other end of the conversations: calls, as the budget allows
keeping     the ledger on disk, or in memory until the disk can be written
background  between two syncs: the history, a few calls at a time
poller      the loop, one thread for each cluster
"""
