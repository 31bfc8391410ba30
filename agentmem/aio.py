"""`AsyncMemory`: the verbs of `Memory` for asyncio. No verb is written twice: each runs, as it is, on a thread."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial, wraps
from os import PathLike
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from agentmem.embedding import AnyEmbedder, Embedder
from agentmem.errors import MemoryClosed
from agentmem.exposure import Share
from agentmem.ledger import Durability
from agentmem.memory import Memory
from agentmem.models.pool import AnyModels
from agentmem.records import Scope
from agentmem.router import Route

__all__ = ["AsyncMemory"]

T = TypeVar("T")
P = ParamSpec("P")


def _threaded(
    method: Callable[Concatenate[Memory, P], T],
) -> Callable[Concatenate[AsyncMemory, P], Coroutine[Any, Any, T]]:
    """The same verb, awaited: it runs on one of the memory's threads, in the caller's context."""

    @wraps(method)
    async def call(self: AsyncMemory, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(partial(method, self.sync, *args, **kwargs))

    return call


class AsyncMemory:
    """`Memory` for asyncio: the same verbs with the same arguments, awaited. The event loop is never blocked.

    `step` and `rehearse` are plain context managers (`with memory.step("import"): await memory.add(...)`), `detach`,
    `route`, `exposure` and `with_models` plain calls, and `records`, `feedbacks`, `export_lines`, `feedback_lines`,
    `models`, `jobs` and `calls` are left to `memory.sync`, which is the `Memory` underneath. A verb that runs already
    is not stopped when the task that awaits it is cancelled: what it writes is written, whole.
    """

    def __init__(self, memory: Memory, threads: ThreadPoolExecutor) -> None:
        self.sync = memory
        self._threads = threads

    async def _run(self, call: Callable[[], T]) -> T:
        self.sync.check_open()  # before the threads, which closing ends
        context = contextvars.copy_context()
        try:
            running = asyncio.get_running_loop().run_in_executor(self._threads, lambda: context.run(call))
        except RuntimeError as error:  # the threads are shut down: somebody closes it at this moment
            raise MemoryClosed(
                "this memory is being closed", way_out="Open it again: AsyncMemory.open(path)."
            ) from error
        return await running

    @classmethod
    async def open(
        cls,
        path_or_url: str | PathLike[str],
        *,
        scope: Scope | str | Iterable[str] | None = None,
        embedder: str | AnyEmbedder = "auto",
        index: str = "auto",
        create: bool = True,
        durability: Durability = "process",
        actor: str = "user",
        late_interaction: bool = True,
        models: AnyModels | None = None,
        threads: int = 8,
    ) -> Self:
        """As `Memory.open`; `threads` verbs may run at once."""
        pool = ThreadPoolExecutor(threads, thread_name_prefix="agentmem")
        opening = partial(
            Memory.open,
            path_or_url,
            scope=scope,
            embedder=embedder,
            index=index,
            create=create,
            durability=durability,
            actor=actor,
            late_interaction=late_interaction,
            models=models,
        )
        future = asyncio.get_running_loop().run_in_executor(pool, opening)
        try:
            return cls(await asyncio.shield(future), pool)
        except BaseException:
            # Cancelled while the thread still opens: what it opens is closed when it is done.
            future.add_done_callback(lambda done: None if done.exception() else done.result().close())
            pool.shutdown(wait=False)
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Finish what runs and release the ledger; twice is fine. A handle made by `scope()` leaves the others open."""
        if self.sync.is_owner:
            # Not on the pool itself: it is shut down here, and may be so already.
            await asyncio.to_thread(self._threads.shutdown)
            await asyncio.to_thread(self.sync.close)

    def scope(self, *parts: str) -> AsyncMemory:
        return AsyncMemory(self.sync.scope(*parts), self._threads)

    def with_models(self, models: AnyModels) -> AsyncMemory:
        return AsyncMemory(self.sync.with_models(models), self._threads)

    def step(self, cause: str = "", *, actor: str | None = None) -> AbstractContextManager[None]:
        return self.sync.step(cause, actor=actor)

    def rehearse(self) -> AbstractContextManager[None]:
        return self.sync.rehearse()

    def detach(self, name: str) -> None:
        self.sync.detach(name)

    def route(self, routes: Mapping[str, Route]) -> None:
        self.sync.route(routes)

    def exposure(self) -> list[Share]:
        return self.sync.exposure()

    def check_open(self) -> None:
        self.sync.check_open()

    @property
    def bound(self) -> Scope:
        return self.sync.bound

    @property
    def actor(self) -> str:
        return self.sync.actor

    @property
    def embedder(self) -> Embedder:
        return self.sync.embedder

    @property
    def url(self) -> str:
        return self.sync.url

    add = _threaded(Memory.add)
    add_many = _threaded(Memory.add_many)
    edit = _threaded(Memory.edit)
    pin = _threaded(Memory.pin)
    tag = _threaded(Memory.tag)
    merge = _threaded(Memory.merge)
    split = _threaded(Memory.split)
    forget = _threaded(Memory.forget)
    restore = _threaded(Memory.restore)
    undo = _threaded(Memory.undo)
    redo = _threaded(Memory.redo)
    recall = _threaded(Memory.recall)
    context = _threaded(Memory.context)
    locate = _threaded(Memory.locate)
    order = _threaded(Memory.order)
    feedback = _threaded(Memory.feedback)
    get = _threaded(Memory.get)
    find = _threaded(Memory.find)
    newest = _threaded(Memory.newest)
    listing = _threaded(Memory.listing)
    listed = _threaded(Memory.listed)
    kinds = _threaded(Memory.kinds)
    head = _threaded(Memory.head)
    descendants = _threaded(Memory.descendants)
    history = _threaded(Memory.history)
    log = _threaded(Memory.log)
    stats = _threaded(Memory.stats)
    load = _threaded(Memory.load)
    verify = _threaded(Memory.verify)
    flush = _threaded(Memory.flush)
    reindex = _threaded(Memory.reindex)
    attach = _threaded(Memory.attach)
    consolidate = _threaded(Memory.consolidate)
    foresee = _threaded(Memory.foresee)
    working = _threaded(Memory.working)
    complete = _threaded(Memory.complete)
    familiarity = _threaded(Memory.familiarity)
    repeats = _threaded(Memory.repeats)
    due = _threaded(Memory.due)
    fade = _threaded(Memory.fade)
    export = _threaded(Memory.export)
