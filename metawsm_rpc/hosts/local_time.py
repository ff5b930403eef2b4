"""Dates as docmgr and wsm write them: the local date in paths and headings, RFC 3339 with the zone in fields."""

from datetime import datetime


def local_date(seconds: float) -> str:
    """Return the local date, such as `2026-01-02`."""
    return datetime.fromtimestamp(seconds).astimezone().date().isoformat()


def local_timestamp(seconds: float) -> str:
    """Return RFC 3339 text with the local zone as Go writes it, such as `2026-01-02T03:04:05.6789-05:00`.

    Go writes no zeros at the end of a fraction, and `Z` for UTC.
    """
    moment = datetime.fromtimestamp(seconds).astimezone()
    fraction = f"{moment.microsecond:06}".rstrip("0")
    zone = moment.isoformat()[-6:]
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' if fraction else ''}{fraction}{'Z' if zone == '+00:00' else zone}"
