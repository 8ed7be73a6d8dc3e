"""What the target's answer means. No sandbox is needed for that, so it is tested as it is."""

import json


def parse(body: bytes) -> dict[str, float]:
    """Reads {"queue": {"waiting": 3, "done": 120}}. What is not told is left out: absent is never zero."""
    text = body.decode(errors="replace")
    try:
        queue = json.loads(text)["queue"]
        told = {metric: queue.get(metric) for metric in ("waiting", "done")}
        numbers = {metric: number for metric, number in told.items() if number is not None}
        if any(type(number) not in (int, float) for number in numbers.values()):
            raise TypeError
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(f"""no JSON with numbers in "queue": '{text[:40]}'""") from None
    return {metric: float(number) for metric, number in numbers.items()}
