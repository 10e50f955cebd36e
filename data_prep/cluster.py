"""Many items at once: in this process, on a local dask cluster, on one that runs already, or on SLURM.

Each item is a pure function of its inputs that writes its own files atomically, so the scheduler may run it anywhere, twice,
or again after a crash.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from vol3d.errors import ConfigError, ResourceError
from vol3d.extras import require

logger = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")
_IN_FLIGHT_PER_WORKER = 4


def run_all(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    workers: int = 0,
    cluster: str | None = None,
    on_lost: Callable[[T, str], R] | None = None,
) -> Iterator[R]:
    """Results in the order in which they are ready.

    Args:
        function: importable by name (workers are processes).
        items: arguments, picklable.
        workers: 0 runs in this process; else so many processes of one thread each.
        cluster: `tcp://HOST:PORT` of a running dask scheduler, `slurm` for jobs through dask-jobqueue (configured in
            dask's own `jobqueue.yaml`), None for a local cluster.
        on_lost: what becomes of an item whose worker died again and again (out of memory); None raises.

    Raises:
        ConfigError: an address that is none.
        ResourceError: a worker was lost and `on_lost` is None.
    """
    if workers == 0 and cluster is None:
        yield from map(function, items)
        return
    with _client(workers, cluster) as (client, width):
        yield from _drain(client, function, items, width, on_lost)


def _drain(client: Any, function: Callable[[T], R], items: Sequence[T], width: int, on_lost: Callable[[T, str], R] | None) -> Iterator[R]:
    """Keep a few items per worker in flight, so that a corpus of fifty thousand does not become one task graph."""
    distributed = require("distributed", extra="cluster")
    waiting = iter(items)
    flying: dict[Any, T] = {}
    done = distributed.as_completed()

    def submit() -> None:
        item = next(waiting, None)
        if item is not None:
            future = client.submit(function, item, pure=False, retries=2)
            flying[future] = item
            done.add(future)

    for _ in range(width * _IN_FLIGHT_PER_WORKER):
        submit()
    for future in done:
        item = flying.pop(future)
        if future.status == "finished":
            yield future.result()
        elif on_lost is not None:
            yield on_lost(item, str(future.exception()))
        else:
            raise ResourceError("a worker was lost", found=str(future.exception()), hint="Use fewer workers, or give each more memory.")
        submit()


@contextmanager
def _client(workers: int, cluster: str | None) -> Iterator[tuple[Any, int]]:
    distributed = require("distributed", extra="cluster")
    if cluster is None:
        with (
            distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0, silence_logs=logging.ERROR
            ) as local,
            distributed.Client(local) as client,
        ):
            yield client, workers
    elif cluster == "slurm":
        jobqueue = require("dask_jobqueue", extra="cluster")
        with jobqueue.SLURMCluster() as jobs, distributed.Client(jobs) as client:
            jobs.scale(max(1, workers))
            yield client, max(1, workers)
    elif cluster.startswith(("tcp://", "tls://", "ucx://")):
        with distributed.Client(cluster) as client:
            yield client, max(1, len(client.scheduler_info()["workers"]))
    else:
        raise ConfigError("no such cluster", expected="tcp://HOST:PORT or slurm", found=cluster)
