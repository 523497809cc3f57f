"""Schedule and heartbeat of a spec → their part of the agent's document; what is wrong with them in words. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime

from moltbot_api.assistant import Heartbeat, Missed, ScheduledJob, Session
from moltbot_api.durations import parse_interval
from moltbot_operator.effective import ModelConnection
from moltbot_operator.timing import cron_problem, minutes_of_day, parse_moment, zone_problem

# More often than this nothing is done by itself (seconds): it would never sleep, and every time costs money.
LEAST_SECONDS = 60
# Hexadecimal digits; two of one Moltbot's few jobs are never alike by chance.
FINGERPRINT_LENGTH = 12


class Times:
    """The spec's time zone, and what is found while times are read. `moments`: (job, when) of those that come once."""

    def __init__(self, time_zone: str | None) -> None:
        self.problems: list[str] = []
        self.moments: list[tuple[str, datetime]] = []
        self._zone = time_zone or "UTC"
        self._zone_known = True
        if time_zone is not None and (problem := zone_problem(time_zone)) is not None:
            self._zone_known = False
            self.problems.append(f"timeZone: {problem} Until then it lives in UTC, and what needs its time zone does not run")

    def zone(self, own: str | None, where: str) -> str | None:
        """The zone to use, or None when it is not known."""
        if own is None:
            return self._zone if self._zone_known else None
        if (problem := zone_problem(own)) is not None:
            self.problems.append(f"{where}: {problem} Until then it does not run")
            return None
        return own

    def wrong(self, where: str, why: str) -> None:
        self.problems.append(f"{where}: {why}; until it is corrected it does not run")


def build_jobs(jobs: Iterable[ScheduledJob], times: Times, model: ModelConnection) -> list[dict[str, object]]:
    """Those that can run."""
    made = []
    for job in jobs:
        when = _when(job, times)
        if when is None:
            continue
        one: dict[str, object] = {
            "name": job.name,
            "prompt": job.prompt,
            "isolated": job.session is Session.ISOLATED,
            "missed": "skip" if job.missed is Missed.SKIP else "run",
            "enabled": not job.suspend,
        }
        if job.model is not None:
            one["model"] = model.on_wire(job.model)
        made.append(one | when)
    return made


def _when(job: ScheduledJob, times: Times) -> dict[str, object] | None:
    where = f"schedule: {job.name}"
    if job.every is not None:
        seconds = parse_interval(job.every)
        if seconds < LEAST_SECONDS:
            times.wrong(where, f"every {job.every} is too often, 1m is the least")
            return None
        return {"everyMs": seconds * 1000}
    zone = times.zone(job.time_zone, where)
    if zone is None:
        return None
    if job.cron is not None:
        if (problem := cron_problem(job.cron)) is not None:
            times.wrong(where, problem)
            return None
        return {"cron": " ".join(job.cron.split()), "timeZone": zone}
    assert job.at is not None  # the CRD's rule: exactly one of them
    try:
        moment = parse_moment(job.at, zone)
        at_ms = int(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        times.wrong(where, f"{job.at} is no time that there is ({error})")
        return None
    times.moments.append((job.name, moment))
    return {"atMs": at_ms, "timeZone": zone}


def fingerprints(jobs: Iterable[Mapping[str, object]]) -> tuple[str, ...]:
    """One for each job that can come due, of what decides when: another one is a job, or a time, that a gateway has to read to know it.
    `jobs` are as `build_jobs` made them. What a job does is not in it, nor its place in the list."""
    found = set()
    for job in jobs:
        if job.get("enabled"):
            # a moment is the same one in every time zone
            when = {name: job[name] for name in ("name", "cron", "everyMs", "atMs", "timeZone") if name in job}
            if "atMs" in when:
                del when["timeZone"]
            found.add(hashlib.sha256(json.dumps(when, sort_keys=True).encode()).hexdigest()[:FINGERPRINT_LENGTH])
    return tuple(sorted(found))


def build_heartbeat(heartbeat: Heartbeat, times: Times, model: ModelConnection) -> dict[str, object] | None:
    """None when it cannot beat."""
    seconds = parse_interval(heartbeat.every)
    if seconds < LEAST_SECONDS:
        times.wrong("heartbeat", f"every {heartbeat.every} is too often, 1m is the least")
        return None
    made: dict[str, object] = {"everyMs": seconds * 1000}
    if heartbeat.prompt:
        made["prompt"] = heartbeat.prompt
    if heartbeat.model is not None:
        made["model"] = model.on_wire(heartbeat.model)
    hours = heartbeat.active_hours
    if hours is not None:
        start, end = minutes_of_day(hours.from_), minutes_of_day(hours.to)
        if start == end:
            times.wrong("heartbeat.activeHours", f"from {hours.from_} to {hours.to} is no time at all; leave it out for all day")
            return None
        if times.zone(None, "heartbeat") is None:
            return None
        made |= {"activeFrom": start, "activeTo": end}
    return made
