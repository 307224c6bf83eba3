"""How metrics are shown to Prometheus: read when asked for, of one organization or of many.

What there is to show, and how each is read, stands in `metrics`.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector as Source

from jumpcloud_modules.collecting.measurements import Distribution
from jumpcloud_modules.sekoia.metrics import (
    FORWARD_EVENTS_DURATION,
    IN_PLACE_OF_THE_SDK,
    KEY_LABEL,
    MEASURED,
    OF_ALL_ORGANIZATIONS,
    ORGANIZATION_LABEL,
    Description,
    InAll,
    Seen,
    Type,
)


class Exposition(Source):
    """Show what `see` returns, each time somebody asks; `key` is in the labels of each sample."""

    def __init__(self, see: Callable[[], Seen], key: str) -> None:
        self._see = see
        self._key = key

    def register(self) -> None:
        """Show it from now on, where the SDK's metrics are."""
        REGISTRY.register(self)

    def unregister(self) -> None:
        """Show it no longer."""
        REGISTRY.unregister(self)

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: two connectors of one process, as in tests, show the same."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its samples as they are now."""
        seen = self._see()
        for measured in MEASURED:
            family = _family(measured.description, (KEY_LABEL,))
            for labels, value in measured.read(seen):
                _add(family, (self._key, *labels), value)
            yield family


class ExpositionOfMany(Exposition):
    """Show what is seen of many organizations, by name and key, and of the process as a whole.

    `see_process` has the measurements of all, `see_in_all` their numbers. What has labels
    of its own and is 0 is left out: of a thousand, nobody wants to read it.
    """

    def __init__(
        self,
        see: Callable[[], Iterable[tuple[str, str, Seen]]],
        see_process: Callable[[], Seen],
        forward_seconds: Callable[[], Distribution],
        see_in_all: Callable[[], InAll],
    ) -> None:
        super().__init__(see_process, "")
        self._see_in_all = see_in_all
        self._see_all = see
        self._forward_seconds = forward_seconds

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its samples as they are now."""
        process, organizations = self._see(), list(self._see_all())
        for measured in (*MEASURED, *IN_PLACE_OF_THE_SDK):
            if measured.is_of_process:
                family = _family(measured.description)
                for labels, value in measured.read(process):
                    _add(family, labels, value)
            else:
                family = _family(measured.description, (KEY_LABEL, ORGANIZATION_LABEL))
                for name, key, seen in organizations:
                    for labels, value in measured.read(seen):
                        if not (labels and value == 0.0) and not _is_empty(value):
                            _add(family, (key, name, *labels), value)
            yield family
        family = _family(FORWARD_EVENTS_DURATION)
        _add(family, (), self._forward_seconds())
        yield family
        in_all = self._see_in_all()
        for description, read in OF_ALL_ORGANIZATIONS:
            family = _family(description)
            _add(family, (), float(read(in_all)))
            yield family


Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


def _is_empty(value: float | Distribution) -> bool:
    return isinstance(value, Distribution) and not value.count


def _family(described: Description, labels: tuple[str, ...] = ()) -> Family:
    kinds: dict[Type, type[Family]] = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    kind = kinds[described.type]
    return kind(described.name, described.documentation, labels=(*labels, *described.labels))


def _add(family: Family, labels: tuple[str, ...], value: float | Distribution) -> None:
    if isinstance(family, HistogramMetricFamily) and isinstance(value, Distribution):
        buckets = [(str(bound), float(count)) for bound, count in value.at_most]
        family.add_metric(labels, [*buckets, ("+Inf", float(value.count))], value.sum)
    elif not isinstance(family, HistogramMetricFamily) and not isinstance(value, Distribution):
        family.add_metric(labels, value)
