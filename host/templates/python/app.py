"""A collector for mackerel-plugin-wasm that reads the numbers of a queue's jobs from a program's JSON.

`componentize-py` looks for the class Metrics in this file. All imports must be at the top, because the component has no
files to import from at run time.
"""

import encodings.idna  # noqa: F401, sockets import it at run time
import http.client
import urllib.error
import urllib.request

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.types import (
    CollectError_Other,
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


def url(endpoint, path):
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"http://{host}:{endpoint.port}{path}"


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
        try:
            with urllib.request.urlopen(url(target.endpoint, value(options, "path"))) as response:
                body = response.read()
        except urllib.error.HTTPError as error:
            raise Err(CollectError_Status(error.code))
        except urllib.error.URLError as error:
            raise Err(CollectError_Other(f"connection failed: {error.reason}"))
        except (OSError, http.client.HTTPException) as error:
            raise Err(CollectError_Other(f"incomplete response: {error!r}"))
        try:
            numbers = queue_page.parse(body)
        except ValueError as error:
            raise Err(CollectError_Unexpected(str(error)))
        return Report([Sample("#.jobs", metric, number) for metric, number in numbers.items()], None)
