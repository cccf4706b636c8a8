"""Map a function over shards of work: in this process or in several; results come in order, memory stays bounded.

An engine decides where work is done and never what comes out of it.
"""

from curation.engines.local import Local, count_cores, keep_workers
from curation.engines.protocol import Engine, WorkerCrashedError, survive_crashes

__all__ = ["Engine", "Local", "WorkerCrashedError", "count_cores", "keep_workers", "survive_crashes"]
