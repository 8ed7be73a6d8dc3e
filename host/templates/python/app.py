"""A collector for mackerel-plugin-wasm that reads the numbers of a queue's jobs from a program's JSON.

`componentize-py` looks for the class Metrics in this file. All imports must be at the top, because the component has no
files to import from at run time.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import http
from wit_world.imports.types import (
    CollectError_Http,
    CollectError_Status,
    CollectError_Unexpected,
    Description,
    Graph,
    Metric,
    MetricKind_Counter,
    MetricKind_Gauge,
    OptionKind_Text,
    OptionSpec,
    Period,
    Report,
    Sample,
    Scope,
    Unit,
)

import queue_page


def value(options, name):
    return next(option.value for option in options if option.name == name)


class Metrics(exports.Metrics):
    def describe(self):
        return Description(
            name="{{name}}",
            version="0.1.0",
            summary="Waiting and finished jobs of a queue",
            scope=Scope.ENDPOINT,
            options=[OptionSpec(name="path", help="The path of the JSON", kind=OptionKind_Text(), default="/queue")],
        )

    def graphs(self, options):
        path = value(options, "path")
        if not path.startswith("/"):
            raise Err(f"--path '{path}' does not begin with '/'")
        metrics = [
            Metric(name="waiting", label="Waiting", stacked=False, kind=MetricKind_Gauge()),
            Metric(name="done", label="Done per minute", stacked=False, kind=MetricKind_Counter(Period.MINUTE)),
        ]
        return [Graph(key="#.jobs", label="Jobs", unit=Unit.INTEGER, metrics=metrics)]

    def collect(self, target, options):
        response = get(value(options, "path"))
        if response.status != 200:
            raise Err(CollectError_Status(response.status))
        try:
            numbers = queue_page.parse(response.body)
        except ValueError as error:
            raise Err(CollectError_Unexpected(str(error)))
        return Report([Sample("#.jobs", metric, number) for metric, number in numbers.items()], None)


def get(path):
    """Passes the host's errors back to it unchanged, because the host writes their messages."""
    try:
        return http.get(http.Request(http.Scheme.HTTP, path, headers=[]))
    except Err as error:
        raise Err(CollectError_Http(error.value)) from None
