"""The parser of the target's response. It needs no sandbox, so `python3 -m unittest` can test it."""

import json


def parse(body: bytes) -> dict[str, float]:
    """Parses {"queue": {"waiting": 3, "done": 120}}. A missing number is omitted, never reported as zero."""
    text = body.decode(errors="replace")
    try:
        queue = json.loads(text)["queue"]
        values = {metric: queue.get(metric) for metric in ("waiting", "done")}
        numbers = {metric: number for metric, number in values.items() if number is not None}
        if any(type(number) not in (int, float) for number in numbers.values()):
            raise TypeError
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(f"""no JSON with numbers in "queue": '{text[:40]}'""") from None
    return {metric: float(number) for metric, number in numbers.items()}
