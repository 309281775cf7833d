"""Cuts a pool into clusters and finds those that belong to a task. Knows nothing about what is chosen from them.

Source: Chen et al. 2023 (LTD, arXiv 2305.09246): K-means over the encodings; the centres represent the pool's
distribution, and those nearest to the task's samples mark the part of the pool that belongs to the task. But an encoder
often captures the topic of a text more than the task, and then each sample falls into the cluster of its topic. So by
default clusters are ranked by their mean similarity to all samples, in which topics cancel out and the task remains.
``benchmarks/regions.py`` measures both ways on tasks whose rows are known.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from metier.core.errors import UserError
from metier.selection.encodings import vectors_of
from metier.selection.kcenter import Codes

Vectors = npt.NDArray[np.float32]
Means = tuple[Vectors, Callable[[Vectors], Any]]
"""Centres, and a function from vectors to the index of the nearest."""

_MOST = 1000
_FITTED = 100_000  # rows that K-means is fitted on; all rows are assigned
_PIECE = 16_384


@dataclasses.dataclass(frozen=True, slots=True)
class Clusters:
    """A pool in clusters.

    Attributes:
        centres: ``[clusters, width]``.
        of: The cluster of every row, ``[rows]``.
    """

    centres: npt.NDArray[np.float32]
    of: npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True, slots=True)
class Region:
    """The part of a pool that counts as belonging to a task.

    Attributes:
        rows: Its rows, in order.
        clusters: Its clusters, the nearest to the task first.
        share: Their share of the pool.
    """

    rows: npt.NDArray[np.int64]
    clusters: npt.NDArray[np.int64]
    share: float


def cluster(
    codes: Codes,
    count: int | None,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    *,
    library: Literal["sklearn", "faiss"] = "sklearn",
) -> Clusters:
    """Cut a pool into clusters with K-means: scikit-learn's on mini-batches (Sculley 2010), or FAISS's.

    Args:
        codes: The pool's encodings, ``[rows, width]``; may be memory-mapped.
        count: How many clusters; None: the square root of the number of rows, at most 1,000.
        seed: Seeds the sample and the first centres.
        progress: Called with the number of rows assigned.
        library: Whose K-means; FAISS (an extra) is faster for many clusters, and uses all cores.

    Raises:
        UserError: More clusters than rows, or FAISS is not installed.
    """
    rows = len(codes)
    wanted = count or max(1, min(_MOST, math.isqrt(rows)))
    if wanted > rows:
        raise UserError(f"selection.clusters={wanted}, but the pool has {rows} rows", hint="choose fewer clusters")
    rng = np.random.default_rng(seed)
    sample = np.arange(rows) if rows <= _FITTED else np.sort(rng.choice(rows, _FITTED, replace=False))
    fit = _sklearn_means if library == "sklearn" else _faiss_means
    centres, nearest = fit(vectors_of(codes[sample]), wanted, seed)
    of = np.empty(rows, np.int32)
    for begin in range(0, rows, _PIECE):
        of[begin : begin + _PIECE] = nearest(vectors_of(codes[begin : begin + _PIECE]))
        if progress:
            progress(min(begin + _PIECE, rows), 0)
    return Clusters(centres, of)


def region_of_share(clusters: Clusters, target: Vectors, share: float) -> Region:
    """Return the clusters most similar to a task, as many as are needed to hold a share of the pool.

    A cluster's similarity to the task is the mean over its rows (`towards`).

    Args:
        clusters: The pool's.
        target: The task's examples and inputs, encoded the same way, ``[texts, width]``, of length 1.
        share: The share of the pool's rows.
    """
    sizes = np.bincount(clusters.of, minlength=len(clusters.centres))
    everything: npt.NDArray[np.floating[Any]] = sizes @ clusters.centres / len(clusters.of)
    alike = clusters.centres @ towards(target, everything)
    nearest = np.argsort(-alike, kind="stable")
    reached = np.cumsum(sizes[nearest]) >= share * len(clusters.of)
    return _made_of(clusters, nearest[: int(reached.argmax()) + 1])


def towards(target: Vectors, everything: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """Return the vector whose product with a row is the row's similarity to a task, ``[width]``.

    The similarity is the row's mean cosine to the task's texts, minus half of its mean cosine to the whole pool: some
    rows, called hubs, are similar to everything, and would be to any task (after the correction of Conneau et al. 2018,
    arXiv 1710.04087, section 2.3, with the pool as neighbourhood).

    Args:
        target: The task's texts, encoded, ``[texts, width]``, of length 1.
        everything: The mean of the pool's rows, ``[width]``.
    """
    found: npt.NDArray[np.floating[Any]] = target.mean(axis=0) - everything / 2
    return found


def region_fallen_into(clusters: Clusters, target: Vectors) -> Region:
    """Return the clusters that a task's texts fall into, each text by itself (as in LTD).

    If those hold no rows, the nearest cluster that does is added.

    Args:
        clusters: The pool's.
        target: The task's examples and inputs, encoded the same way, ``[texts, width]``.
    """
    apart = ((target[:, None] - clusters.centres[None]) ** 2).sum(axis=2)
    nearest = np.argsort(apart.min(axis=0), kind="stable")
    sizes = np.bincount(clusters.of, minlength=len(clusters.centres))
    chosen = nearest[np.isin(nearest, apart.argmin(axis=1))]
    if not sizes[chosen].sum():
        chosen = np.append(chosen, nearest[sizes[nearest] > 0][:1])
    return _made_of(clusters, chosen)


def _made_of(clusters: Clusters, chosen: npt.NDArray[np.int64]) -> Region:
    rows = np.flatnonzero(np.isin(clusters.of, chosen))
    return Region(rows, chosen, len(rows) / len(clusters.of))


def _sklearn_means(sample: Vectors, count: int, seed: int) -> Means:
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    means: Any = MiniBatchKMeans(count, random_state=seed % 2**32, batch_size=4096, n_init=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        means.fit(sample)
    return np.asarray(means.cluster_centers_, np.float32), means.predict


def _faiss_means(sample: Vectors, count: int, seed: int) -> Means:
    try:
        import faiss
    except ImportError as error:
        raise UserError("selection.clustering: faiss is not installed", hint="pip install 'metier[faiss]'") from error
    # Use every row of the sample, however few or many there are per cluster.
    limits = {"min_points_per_centroid": 1, "max_points_per_centroid": len(sample)}
    means: Any = faiss.Kmeans(sample.shape[1], count, niter=25, seed=seed % 2**31, **limits)
    means.train(np.ascontiguousarray(sample))
    centres = np.asarray(means.centroids, np.float32)
    index: Any = faiss.IndexFlatL2(centres.shape[1])
    index.add(centres)
    return centres, lambda vectors: index.search(np.ascontiguousarray(vectors), 1)[1][:, 0]
