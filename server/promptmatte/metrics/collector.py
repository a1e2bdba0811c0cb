"""The metrics, made of the pipeline's status at the moment of a scrape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from promptmatte import __version__
from promptmatte.counters import LatencyHistogram
from promptmatte.metrics.gpu_memory import gpu_memory
from promptmatte.metrics.measured import Measured

COUNTS = (
    ("promptmatte_frames", "frames_in", "Frames that came from the source"),
    ("promptmatte_mattes", "mattes_out", "Mattes sent"),
    ("promptmatte_keyframes", "encodes", "Frames that the model encoded"),
    ("promptmatte_decodes", "decodes", "Times that the prompts were decoded"),
)
RATES = (
    ("promptmatte_mattes_per_second", "matte_fps", "Mattes a second, over the last 5 s"),
    ("promptmatte_keyframes_per_second", "keyframe_hz", "Keyframes a second, over the last 5 s"),
)
LINK_COUNTS = (
    ("promptmatte_link_sent", "sent", "Mattes put on the link"),
    ("promptmatte_link_received", "received", "Frames that came by the link"),
    ("promptmatte_link_torn", "torn", "Frames overwritten while they were read"),
    ("promptmatte_link_missed", "missed", "Frames that newer ones replaced unread"),
    ("promptmatte_link_rejected", "rejected", "Arrivals that failed a check"),
    ("promptmatte_link_errors", "errors", "Mattes that the link refused"),
)


class PipelineCollector(Collector):
    """Reads the pipeline once a scrape; nothing is done a frame."""

    def __init__(self, pipeline: Measured) -> None:
        self._pipeline = pipeline

    def collect(self) -> Iterable[Metric]:
        """All metrics; those that have no value yet are left out.

        A prompt is named by its channel, 1 to 4, never by its text: what people type would
        make a time series of every text.
        """
        status = self._pipeline.status()
        yield InfoMetricFamily(
            "promptmatte",
            "What is running",
            value={
                "version": __version__,
                "model": str(status["model"]),
                "device": str(status["device"]),
            },
        )
        running = GaugeMetricFamily(
            "promptmatte_running", "1 while frames come and a model is there, else 0"
        )
        running.add_metric([], float(status["state"] == "running"))
        yield running
        for name, key, text in COUNTS:
            yield CounterMetricFamily(name, text, value=status[key])
        for name, key, text in RATES:
            yield GaugeMetricFamily(name, text, value=status[key])
        drops = CounterMetricFamily(
            "promptmatte_drops", "Frames that got no matte, by cause", labels=["cause"]
        )
        for cause, count in status["dropped"].items():
            drops.add_metric([cause], count)
        yield drops
        yield _latency_metric(self._pipeline.latency_histogram())
        if status["age_ms"] is not None:
            yield GaugeMetricFamily(
                "promptmatte_keyframe_age_seconds",
                "From the keyframe of the last matte to its own frame",
                value=status["age_ms"] / 1e3,
            )
        yield _confidence_metric(status["prompts"])
        yield from _link_metrics(status["links"])
        yield from gpu_memory(str(status["device"]))


def _latency_metric(histogram: LatencyHistogram) -> Metric:
    buckets, total = [], 0
    for bound, count in zip((*histogram.bounds_s, None), histogram.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound is None else repr(bound), float(total)))
    return HistogramMetricFamily(
        "promptmatte_latency_seconds",
        "From the capture of a frame to its matte being sent",
        buckets=buckets,
        sum_value=histogram.sum_s,
    )


def _confidence_metric(prompts: list[dict[str, Any]]) -> Metric:
    metric = GaugeMetricFamily(
        "promptmatte_confidence",
        "How sure the model is of a prompt in the last matte",
        labels=["channel"],
    )
    for channel, prompt in enumerate(prompts, start=1):
        if prompt["confidence"] is not None:
            metric.add_metric([str(channel)], prompt["confidence"])
    return metric


def _link_metrics(links: list[dict[str, Any]]) -> Iterator[Metric]:
    connected = GaugeMetricFamily(
        "promptmatte_link_connected", "1 while the other side shows life", labels=["address"]
    )
    for link in links:
        connected.add_metric([link["address"]], float(link["connected"]))
    yield connected
    for name, key, text in LINK_COUNTS:
        counter = CounterMetricFamily(name, text, labels=["address"])
        for link in links:
            counter.add_metric([link["address"]], link[key])
        yield counter
