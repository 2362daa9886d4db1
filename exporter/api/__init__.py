"""Talking to the cloud: one call, from the budget to a decoded page.

::

    client      the API as one account sees it: joblist (a cluster's jobs), fleet (clusters, queues, nodes)
    sending     the one way of every call: admit by the budget -> sign -> send -> decode; retries; the
                server's clock
    transport   [I/O] one HTTPS exchange with a deadline; the only importer of requests
    trust       [I/O] whose certificates are trusted
    lists       cluster/list of one account, called once for all threads that need it
    budget      which calls an account may still make
    window      pure: whether calls at a steady rate find room beside those that were made
    signature   pure: parameters and a secret -> a signed query string
    payload     pure: an answer's bytes -> a Page of jobs, or why not
    siblings    pure: the same for clusters, queues and nodes
    answer      pure: what is the same in every answer: refusals, how values are written
    shape       pure: an answer's bytes -> what fields it has, of which types, and no value
    lenient     pure: JSON that is not quite as the standard has it -> JSON
    times       pure: the times of a page in any form -> moments
    refusal     pure: what each error code means and what helps
    retry       pure: how often and after which wait to try again
"""
