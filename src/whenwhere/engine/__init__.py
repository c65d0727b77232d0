"""Work on a corpus by many processes: on the cores of this machine, or on a Ray cluster.

    with open_engine("local") as engine:                     # or "ray"
        for done in engine.run(partial(Measurer, folder), tasks):
            print(done.task, done.result or done.error)

Both engines run the same functions in the same scheduler (`scheduler.Engine`), and differ only in what a worker is: a
process, or a Ray actor. Tasks are given out one at a time in the order of the caller, costly ones first
(`cost.by_cost`), so that a long video does not begin when all others are done. Whatever goes wrong with a task is data.
A worker that is killed is replaced, and its task is tried once more.

Ray's actors are used rather than Ray Data, which neither gives out rows by their cost nor goes on where a run
stopped. The Parquet files that are written are ordinary ones, which Ray Data reads.
"""

from whenwhere.engine.cost import by_cost as by_cost
from whenwhere.engine.cost import video_cost as video_cost
from whenwhere.engine.named import open_engine as open_engine
from whenwhere.engine.scheduler import Engine as Engine
from whenwhere.engine.scheduler import TaskOutcome as TaskOutcome
from whenwhere.engine.scheduler import WorkerDiedError as WorkerDiedError
from whenwhere.engine.scheduler import portable as portable
