"""What the server counts, for Prometheus: vLLM's names, which dashboards know, under ``metier:``."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from metier.serving.model import Outcome
from metier.serving.worker import Worker

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120)


class Counts:
    """Counts of one server.

    Args:
        worker: Says how many requests it has.
    """

    def __init__(self, worker: Worker) -> None:
        self._registry = made = CollectorRegistry()
        running = Gauge("metier:num_requests_running", "Requests that are being answered.", registry=made)
        running.set_function(lambda: worker.running)
        waiting = Gauge("metier:num_requests_waiting", "Requests in the queue.", registry=made)
        waiting.set_function(lambda: worker.waiting)
        by = ["model_name"]
        self._read = Counter("metier:prompt_tokens", "Tokens of prompts.", by, registry=made)
        self._written = Counter("metier:generation_tokens", "Tokens of answers.", by, registry=made)
        self._latency = Histogram(
            "metier:e2e_request_latency_seconds", "From a request to its answer.", by, buckets=_SECONDS, registry=made
        )
        self._first = Histogram(
            "metier:time_to_first_token_seconds",
            "From a streamed request to its first piece.",
            by,
            buckets=_SECONDS,
            registry=made,
        )
        self._ended = Counter(
            "metier:request_success", "Requests that were answered.", [*by, "finished_reason"], registry=made
        )

    def answered(self, model: str, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Count a request that was answered."""
        self._read.labels(model).inc(sum(outcome.prompt_tokens for outcome in outcomes))
        self._written.labels(model).inc(sum(outcome.completion_tokens for outcome in outcomes))
        self._latency.labels(model).observe(seconds)
        reasons = {reason for outcome in outcomes for reason in outcome.reasons}
        self._ended.labels(model, "length" if "length" in reasons else "stop").inc()

    def begun(self, model: str, seconds: float) -> None:
        """Count the first piece of a streamed answer."""
        self._first.labels(model).observe(seconds)

    def told(self) -> bytes:
        """Return all counts as Prometheus reads them."""
        return generate_latest(self._registry)
