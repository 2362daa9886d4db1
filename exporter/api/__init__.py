"""Talking to the cloud: one call, from the budget to a decoded page.

::

    client      admit by the budget -> sign -> send -> decode; retries; the server's clock
    transport   [I/O] one HTTPS exchange with a deadline; the only importer of requests
    trust       [I/O] whose certificates are trusted
    budget      what an account may still spend
    signature   pure: parameters and a secret -> a signed query string
    payload     pure: an answer's bytes -> a Page, or the account's clusters, or why not
    shape       pure: an answer's bytes -> what fields it has, of which types, and no value
    lenient     pure: JSON that is not quite as the standard has it -> JSON
    times       pure: the times of a page in any form -> moments
    refusal     pure: what each error code means and what helps
    retry       pure: how often and after which wait to try again
"""
