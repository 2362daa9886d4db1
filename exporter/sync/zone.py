"""In which zone times are that carry none: as the configuration says, or as what happens proves it.

Until that is known, no duration is counted. Once it turns out that the moments of the ledger were read
in another zone, none of them is right, and the ledger begins anew.
"""

import math

from exporter.profile import UNKNOWN, zone_name
from exporter.sync.context import Placed, Sync
from exporter.sync.intake import LATE_SECONDS

QUARTER_SECONDS = 900
"""Zones are whole quarters of an hour apart."""
ZONES = range(-12 * 3600, 14 * 3600 + 1)
"""How far zones are ahead of UTC, in seconds; there are no others."""
FRESH_SECONDS = 60.0
"""A newest stamp is taken to be of just now if it is no older."""
SEVERAL = 3
"""So many jobs must agree where one alone, stamped late, would mislead."""


def follow(sync: Sync) -> bool:
    """Whether the ledger's moments were read in another zone than those to come: then it begins
    anew."""
    kept, found = sync.progress.profile, sync.profile
    changed = not sync.settings.zone_configured and kept.zone_seconds != found.zone_seconds
    if changed:
        _begin_anew(sync)
    return changed


def follow_configuration(sync: Sync) -> None:
    """Begin the ledger anew if the configuration says another zone than it did, or no longer says
    one."""
    kept, name = sync.progress.profile.zone, sync.settings.zone_name
    if sync.settings.zone_configured:
        said_before = kept.value == "configured" and bool(name)
        changed = said_before and not kept.evidence.startswith(f"{name},")
    else:
        changed = kept.value in ("configured", "contradicted")
    if changed:
        sync.forget("zone")
        _begin_anew(sync)
    follow(sync)


def _begin_anew(sync: Sync) -> None:
    """No moment that is known is right."""
    sync.ledger.clear()
    sync.forget("order")
    sync.update(
        began_at=None, newest_at=None, frontier_at=None, unread=0, known="",
        checked_at={}, profile=sync.profile,
    )  # fmt: skip


def learn_from_head(sync: Sync, head: Placed) -> None:
    """Find it by the configuration, or by the newest stamp on a page and the server's clock."""
    page = head.page
    if sync.settings.zone_configured:
        sync.found("zone", "configured", f"{sync.settings.zone_name}, by the configuration")
    elif page.zoned and not page.zoneless:
        if sync.profile.zone.value == UNKNOWN:
            sync.found("zone", "stamped", "all times that were seen carry their zone")
    elif page.zoneless and sync.profile.zone.value in (UNKNOWN, "stamped"):
        sync.found("zone", UNKNOWN, "nothing has proven yet in which zone times are")
        bare = (job for job in page.jobs if job.uuid in page.bare)
        newest_at = max((job.modified_at or job.submitted_at or 0 for job in bare), default=0)
        age_seconds = sync.now_at - newest_at
        assumed = sync.profile.zone_seconds
        for zone_seconds in (assumed, 0):
            since_seconds = age_seconds - (assumed - zone_seconds)
            if -LATE_SECONDS <= since_seconds <= FRESH_SECONDS:
                evidence = f"then the newest of them is {since_seconds:.0f} s old"
                sync.found("zone", zone_name(zone_seconds), evidence)
                return


def learn_from_changes(sync: Sync, last_look_at: float | None) -> None:
    """The same, by jobs that have changed between two looks: then, and at no other quarter of an
    hour. Several must say so where something else was found before, and of a zone that is not whole
    hours from UTC: one job may be stamped late."""
    if last_look_at is None:
        return
    early_at, late_at = last_look_at - LATE_SECONDS - sync.lag_seconds, sync.now_at + LATE_SECONDS
    shifts = set[int]()
    for at in sync.intake.moved_at:
        first = math.ceil((at - late_at) / QUARTER_SECONDS)
        last = math.floor((at - early_at) / QUARTER_SECONDS)
        if last != first:
            return  # it was too long ago, or between two
        shifts.add(first * QUARTER_SECONDS)
    if len(shifts) != 1:
        return
    (shift,) = shifts
    zone_seconds = sync.profile.zone_seconds + shift
    if zone_seconds not in ZONES and not sync.settings.zone_configured:
        return
    known = sync.profile.zone.value != UNKNOWN
    if shift and (known or zone_seconds % 3600) and len(sync.intake.moved_at) < SEVERAL:
        return
    evidence = f"then {len(sync.intake.moved_at)} jobs have changed when they were seen to"
    if not sync.settings.zone_configured:
        sync.found("zone", zone_name(zone_seconds), evidence)
    elif shift:
        off = f"jobs change {zone_name(shift)} off the zone of the configuration"
        sync.found("zone", "contradicted", off)
