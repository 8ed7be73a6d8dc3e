"""The parser of the status page. It needs no sandbox, so `python3 -m unittest` can test it."""

import json

FIELDS = [
    "listen queue",
    "max listen queue",
    "listen queue len",
    "idle processes",
    "active processes",
    "total processes",
    "max active processes",
    "max children reached",
    "slow requests",
    "memory peak",
]


def parse(body: bytes) -> dict[str, float]:
    """Parses the page, and returns the numbers by metric name. A missing number is omitted, never reported as zero."""
    text = body.decode(errors="replace")
    try:
        page = json.loads(text)
        known = {field: page[field] for field in FIELDS if type(page.get(field)) in (int, float)}
    except (ValueError, AttributeError):
        # Without ?json the page is text.
        hint = ": add ?json to --path" if text.startswith("pool:") else f": '{text[:40]}'"
        raise ValueError(f"not the JSON of PHP-FPM's status page{hint}") from None
    if not known:
        raise ValueError("a JSON object without any field of PHP-FPM's status page")
    numbers = {field.replace(" ", "_"): float(number) for field, number in known.items()}
    if "slow_requests" in numbers:
        numbers["slow_requests_delta"] = numbers["slow_requests"]
    return numbers
