"""The zone of times that carry none: from the configuration, or found from what happens.

Until it is known, no duration is counted. If it turns out that the times in the ledger were read in another
zone, all of them are wrong, and the ledger begins anew.
"""

import math

from exporter.profile import UNKNOWN, zone_name
from exporter.sync.context import PlacedPage, Sync
from exporter.sync.intake import LATE_SECONDS

QUARTER_SECONDS = 900
"""The offsets of all zones are multiples of this."""
ZONES = range(-12 * 3600, 14 * 3600 + 1)
"""How far zones can be ahead of UTC, in seconds."""
FRESH_SECONDS = 60.0
"""If the newest time is not older than this, it is taken for the present."""
SEVERAL = 3
"""This many jobs must agree if one job with a late time could mislead."""


def follow(sync: Sync) -> bool:
    """Begin the ledger anew if its times were read in another zone than is known now. Returns whether it was."""
    kept, found = sync.progress.profile, sync.profile
    changed = not sync.settings.zone_configured and kept.zone_seconds != found.zone_seconds
    if changed:
        sync.begin_anew()
    return changed


def follow_configuration(sync: Sync) -> None:
    """Begin the ledger anew if the configured zone has changed, or is no longer configured."""
    kept, name = sync.progress.profile.zone, sync.settings.zone_name
    if sync.settings.zone_configured:
        said_before = kept.value == "configured" and bool(name)
        changed = said_before and not kept.evidence.startswith(f"{name},")
    else:
        changed = kept.value in ("configured", "contradicted")
    if changed:
        sync.forget("zone")
        sync.begin_anew()
    follow(sync)


def learn_from_head(sync: Sync, head: PlacedPage) -> None:
    """Find the zone from the configuration, or from the newest time on the head and the server's clock."""
    page = head.answer
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
                evidence = f"in this zone, the newest time is {since_seconds:.0f} s old"
                sync.found("zone", zone_name(zone_seconds), evidence)
                return


def learn_from_changes(sync: Sync) -> None:
    """Find the zone from jobs that have changed between two syncs: their times must lie between these, which
    only one zone makes true. Several jobs must agree if another zone was found before, or if the zone is
    not whole hours from UTC: one job may have a late time."""
    last_look_at = sync.intake.last_look_at
    if not last_look_at:
        return
    early_at, late_at = last_look_at - LATE_SECONDS - sync.lag_seconds, sync.now_at + LATE_SECONDS
    shifts = set[int]()
    for at in sync.intake.moved_at:
        first = math.ceil((at - late_at) / QUARTER_SECONDS)
        last = math.floor((at - early_at) / QUARTER_SECONDS)
        if last != first:
            return  # no zone fits, or more than one
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
    evidence = f"in this zone, {len(sync.intake.moved_at)} jobs have changed when they were seen to"
    if not sync.settings.zone_configured:
        sync.found("zone", zone_name(zone_seconds), evidence)
    elif shift:
        off = f"jobs change {zone_name(shift)} off the zone of the configuration"
        sync.found("zone", "contradicted", off)
