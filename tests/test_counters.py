import json

from promptmatte.counters import LATENCIES, Counters, Rate

SECOND_NS = 1_000_000_000


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate()
    for tenth in range(100):
        rate.add(tenth * SECOND_NS // 10)
    assert rate.per_s(10 * SECOND_NS) == 10.0
    assert rate.per_s(60 * SECOND_NS) == 0.0


def test_a_single_event_has_no_rate() -> None:
    rate = Rate()
    assert rate.per_s(0) == 0.0
    rate.add(5)
    assert rate.per_s(5) == 0.0


def test_percentiles_are_of_the_latest_mattes() -> None:
    counters = Counters()
    for _ in range(10):
        counters.matte_out(captured_ns=0, now_ns=SECOND_NS)
    for latency_ms in range(LATENCIES):
        counters.matte_out(captured_ns=0, now_ns=(latency_ms % 100 + 1) * 1_000_000)
    latency = counters.snapshot(SECOND_NS)["latency_ms"]
    assert 49.0 <= latency["p50"] <= 51.0
    assert 94.0 <= latency["p95"] <= 96.0
    assert latency["p99"] <= 100.0


def test_a_snapshot_is_json() -> None:
    counters = Counters()
    counters.frame_in()
    counters.drop("busy")
    counters.drop("busy")
    snapshot = counters.snapshot(0)
    assert json.loads(json.dumps(snapshot, allow_nan=False)) == snapshot
    assert snapshot["dropped"] == {"busy": 2}
    assert snapshot["frames_in"] == 1
    assert snapshot["latency_ms"] == {"p50": None, "p95": None, "p99": None}
