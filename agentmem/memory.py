"""`Memory`: the face of agentmem, every verb once.

It checks what it is given, plans with `verbs` and `undo` inside a ledger transaction, and asks the recall engine. It
needs no key, no model and no network. `aio.AsyncMemory` runs the same methods on threads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from functools import partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar, Unpack, cast

from agentmem import feedback, values, verbs
from agentmem import undo as undoing
from agentmem.cues import Context, Cue, Hit
from agentmem.embedding import AnyEmbedder, Embedder
from agentmem.errors import InvalidInput, RecordNotFound
from agentmem.export import checked_states, every, record_lines, whole_file
from agentmem.feedback import Feedback
from agentmem.index import Progress
from agentmem.intake import Intake, Item
from agentmem.ledger import Draft, Durability, Reader, ScopedLedger
from agentmem.opened import Opened
from agentmem.recall.engine import recall
from agentmem.recall.order import Located, before, located
from agentmem.recall.pack import Count, counted, estimate_tokens, pack
from agentmem.recall.presets import DEFAULT, PARTS, Preset, preset, with_stores
from agentmem.recall.stores import AllStores, Attached, Speaking
from agentmem.records import DEFAULT_SCOPE, Change, Place, Record, RecordFields, Scope, Source, State, checked
from agentmem.router import routed
from agentmem.stats import Stats
from agentmem.store import Held, Host, Models, Report, Store, Working
from agentmem.values import Json, moment, plain_text, whole_number
from agentmem.writing import Writer, Writing, admitted

__all__ = ["Memory"]

T = TypeVar("T")
_NONE: tuple[str, ...] = ()  # a default to tell from what was given; CPython has but one empty tuple
_CONTEXT_POOL = 64  # hits that a packed context chooses from, at least
_SHORT_LINE = 40  # tokens of a short turn as it is quoted


class Memory:
    """A memory bound to one scope. Every verb stays inside it; `scope()` opens another.

    Safe to use from several threads, and several processes may have the same folder open. Verbs raise `AgentMemError`
    children only: `InvalidInput` for bad arguments, `RecordNotFound` for an id that is not in this scope, `Conflict`
    when somebody was faster, `LedgerError` when the storage fails. What a writing verb returns is durable.
    """

    def __init__(self, opened: Opened, scope: Scope, *, actor: str = "user", owner: bool = True) -> None:
        self._opened = opened
        self._scope = scope
        self._writing = Writing(opened, scope, actor)
        self._owner = owner
        self._stores: dict[str, Attached] = {}

    @classmethod
    def open(
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
    ) -> Self:
        """Open, or with `create` make, the memory in a folder or at a database URL.

        `durability="process"`: what a verb returned survives kill -9 of the process; `"power"`: a power cut too, at
        the price of an fsync a commit. `embedder` is a name (`auto`, `hash`, `minilm:/path`, `openai:MODEL@URL`) or an
        object, LangChain's `Embeddings` too. `index` is `auto`, which goes by the size of the scope, `exact`,
        `chroma`, or `chroma:URL` for a server. `actor` is written to the journal with every change. With
        `late_interaction` the vectors of single words are kept too, where the embedder gives them (MiniLM does: about
        3 KB a turn), and recall finds more by them.

        A `scope` that is one text is a path, split at each `/`: your own, never made from a stranger's name. For that
        give the parts, `scope=("user:" + name,)`, or open without one and use `memory.scope("user:" + name)`.
        """
        bound = DEFAULT_SCOPE if scope is None else Scope(scope)
        plain_text(actor, "actor")
        opened = Opened.open(
            path_or_url,
            scope=bound,
            embedder=embedder,
            index=index,
            create=create,
            durability=durability,
            late_interaction=late_interaction,
        )
        return cls(opened, bound, actor=actor)

    def check_open(self) -> None:
        """MemoryClosed when this memory was closed."""
        self._opened.check_open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Memory({self.url!r}, scope={str(self._scope)!r})"

    def close(self) -> None:
        """Release the ledger; twice is fine. Closing a handle made by `scope()` leaves the others open."""
        if self._owner:
            self._opened.close()

    @property
    def is_owner(self) -> bool:
        """Whether closing this handle closes the ledger."""
        return self._owner

    @property
    def bound(self) -> Scope:
        """The scope this handle is bound to."""
        return self._scope

    @property
    def embedder(self) -> Embedder:
        return self._opened.embedder

    @property
    def url(self) -> str:
        return self._opened.ledger.url

    def scope(self, *parts: str) -> Memory:
        """A handle on another scope of the same ledger.

        From the default scope, any scope; from any other, only one inside it: code that is handed a bound memory
        cannot reach a neighbour's. Each text is one part, whoever named it: one with a `/` is InvalidInput, so a
        user called `ana/notes` cannot reach into Ana's. A path of your own is spread: `memory.scope(*Scope("a/b"))`.
        """
        asked = Scope(plain_text(part, "scope") for part in parts)
        bound = asked if self._scope == DEFAULT_SCOPE else Scope((*self._scope, *asked))
        return Memory(self._opened, bound, actor=self._writing.actor, owner=False)

    @property
    def _ledger(self) -> ScopedLedger:
        self._opened.check_open()
        return self._opened.ledger.bind(self._scope)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

    def step(self, cause: str = "", *, actor: str | None = None) -> AbstractContextManager[None]:
        """Everything written inside, by this thread or task in this scope, is one step: one undo takes it back."""
        return self._writing.step(cause, actor)

    def rehearse(self) -> AbstractContextManager[None]:
        """Verbs inside run and return what they would, and nothing is written. Each starts from what stands."""
        return self._writing.rehearse()

    def add(
        self,
        text: str,
        *,
        kind: str = "turn",
        session: str | None = None,
        at: datetime | str | None = None,
        speaker: str | None = None,
        role: str | None = None,
        place: Place | str | None = None,
        tags: Iterable[str] = _NONE,
        meta: Mapping[str, Json] | None = None,
        sources: Iterable[Source | str] = _NONE,
        vector: Sequence[float] | None = None,
    ) -> Record:
        """Remember a text. Durable when it returns; no model is asked, and the embedding is made later.

        `at` is when it happened: a timezone-aware datetime or ISO text; None is now. `vector`, of the embedder's
        dimension, spares the embedding.
        """
        fields = {
            "kind": kind,
            "session": session,
            "at": at,
            "speaker": speaker,
            "role": role,
            "place": place,
            "tags": tags,
            "meta": meta,
            "sources": sources,
        }
        given = {name: value for name, value in fields.items() if value is not None and value is not _NONE}
        return self._add(Intake.single(text, given, vector, self._scope, self.embedder), "refuse")[0]

    def add_many(self, items: Iterable[Item], *, existing: Literal["refuse", "skip"] = "refuse") -> list[Record]:
        """Remember many texts in one transaction and one step; all or, when any is bad, none.

        An item is a text, a mapping of `add`'s keywords with `text` (and `id`, to give one), or a `Record`, which is
        kept as it is save for its scope. An id that is already here is a Conflict, or with `existing="skip"` is left
        alone and not returned. Items are read before the transaction begins, so a slow iterable blocks nobody.
        """
        if existing not in ("refuse", "skip"):
            raise InvalidInput(f"existing must be 'refuse' or 'skip', not {existing!r}")
        return self._add(Intake.of(items, self._scope, self.embedder), existing)

    def _add(self, taken: Intake, existing: Literal["refuse", "skip"]) -> list[Record]:
        return self._writing.run(partial(admitted, taken, existing == "skip", self.embedder.id))

    def _change(self, ids: Sequence[str], plan: Callable[[Record], Draft | None]) -> list[Record]:
        """One verb over several records; returns them as they stand after it."""

        def work(writer: Writer) -> list[Record]:
            records = verbs.required(writer.reader, ids)
            writer.write([plan(record) for record in records])
            return writer.reader.get([record.id for record in records])

        return self._writing.run(work)

    def edit(self, id: str, *, revision: int | None = None, **fields: Unpack[RecordFields]) -> Record:
        """Change fields of a live record. With `revision`, only if that is still the current one, else Conflict."""
        return self._change([id], lambda record: verbs.edit(record, revision, fields))[0]

    def pin(self, *ids: str, pinned: bool = True) -> list[Record]:
        """Keep from fading, or with `pinned=False` let go."""
        return self._change(ids, lambda record: verbs.pin(record, pinned))

    def tag(self, *ids: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> list[Record]:
        adding, removing = checked({"tags": add})["tags"], checked({"tags": remove})["tags"]
        return self._change(ids, lambda record: verbs.tag(record, adding, removing))

    def merge(self, *ids: str, text: str | None = None) -> Record:
        """One record in place of several, which stay in the ledger as `replaced`. `text` None: theirs, line by line."""

        def work(writer: Writer) -> Record:
            merged, drafts = verbs.merge(verbs.required(writer.reader, ids), text, self._scope)
            writer.write(drafts)
            return writer.reader.get([merged.id])[0]

        return self._writing.run(work)

    def split(self, id: str, parts: Sequence[str]) -> list[Record]:
        """Several records in place of one, which stays in the ledger as `replaced`."""

        def work(writer: Writer) -> list[Record]:
            made, drafts = verbs.split(verbs.required(writer.reader, [id])[0], parts, self._scope)
            writer.write(drafts)
            return writer.reader.get([record.id for record in made])

        return self._writing.run(work)

    def forget(self, *ids: str, hard: bool = False) -> list[Record]:
        """Put records in the trash, whence `restore` and `undo` bring them back; returns them.

        With `hard`, erase their words for good, with everything that holds the same words: what was merged or split
        into or out of them, and what was derived from them. Nothing brings those back; they are returned as they
        were. `rehearse()` shows what would go.
        """
        if not hard:
            return self._change(ids, verbs.forget)

        def work(writer: Writer) -> list[Record]:
            plan = verbs.plan_erasure(writer.reader, ids)
            going = writer.reader.get(plan.ids)
            writer.write(plan.freed)
            writer.erase(plan.ids)
            return going

        going = self._writing.run(work)
        if not self._writing.rehearsing:
            self._opened.view(self._scope).start_over()
            self._ledger.reclaim()
            self._opened.stores(self._scope).follow()
            for attached in self._stores.values():
                attached.follow()
        return going

    def restore(self, *ids: str) -> list[Record]:
        """Bring back from the trash."""
        return self._change(ids, verbs.restore)

    def undo(
        self, n: int = 1, *, step: int | None = None, force: Collection[str] = (), dry_run: bool = False
    ) -> list[Change]:
        """Take back the newest `n` steps that stand, or the one named; the changes this made, [] when there is none.

        All or nothing: UndoBlocked names the records that a later change touched. Those listed in `force` are set
        back all the same. Undoing an undo redoes it.
        """
        if isinstance(force, str):
            raise InvalidInput("force must be a list of ids, not one text", way_out=f"Write force=[{force!r}].")

        def work(writer: Writer) -> list[Change]:
            if step is not None:
                verb, target = undoing.resolve(writer.reader, step)
                return writer.take_back(undoing.take_back(writer.reader, target, verb, force), target)
            return self._take_back(writer, n, "undo", undoing.next_undo, force)

        return self._maybe(dry_run, work)

    def redo(self, n: int = 1, *, dry_run: bool = False) -> list[Change]:
        """Take back the newest `n` undos, as long as nothing new was done since; [] when there is none."""
        return self._maybe(dry_run, lambda writer: self._take_back(writer, n, "redo", undoing.next_redo, ()))

    def _take_back(
        self,
        writer: Writer,
        n: int,
        verb: str,
        choose: Callable[[Reader], int | None],
        force: Collection[str],
    ) -> list[Change]:
        whole_number(n, f"the steps to {verb}")
        changes: list[Change] = []
        for _ in range(n):
            target = choose(writer.reader)
            if target is None:
                break
            changes += writer.take_back(undoing.take_back(writer.reader, target, verb, force), target)
        return changes

    def _maybe(self, dry_run: bool, work: Callable[[Writer], T]) -> T:
        if not dry_run:
            return self._writing.run(work)
        with self.rehearse():
            return self._writing.run(work)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    def recall(
        self,
        cue: str | Cue,
        k: int = 10,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        kinds: str | Iterable[str] | None = None,
        speaker: str | None = None,
        place: Place | str | None = None,
        tags: str | Iterable[str] | None = None,
        explain: bool = False,
        engine: str | Preset = DEFAULT,
    ) -> list[Hit]:
        """The `k` memories that fit the cue best, best first, each with its parts and the reason it is here.

        Filters cut before anything is scored: `since` (inclusive) and `until` (exclusive) on when it happened; any of
        `kinds`; any of `tags`; `speaker` and `place` whatever their case, a place including those inside it.
        `explain` appends up to `k` candidates that lost, with a verdict that says by how much, and up to `k` that the
        filters kept out, with one that says by which; `Hit.won` is False of both. `engine` says which signals are asked
        (`agentmem.recall.presets`): the default, or `training-free`, `bm25`, `dense`, `rrf`, `zsum` to compare.
        """
        whole_number(k, "k")
        chosen = preset(engine)
        asked = Cue(text=plain_text(cue, "cue")) if isinstance(cue, str) else cue
        if not isinstance(asked, Cue):
            raise InvalidInput(f"a cue must be a text or a Cue, not {type(cue).__name__}")
        asked = asked.narrowed(since=since, until=until, kinds=kinds, speaker=speaker, place=place, tags=tags)
        if not asked.text.strip() and asked.vector is None:
            raise InvalidInput(
                "the cue is empty: there is nothing to look for", way_out="`agentmem show` lists memories."
            )
        view = self._opened.view(self._scope)
        if asked.vector is not None and view.embeddings.embedder.id != self.embedder.id:
            if not asked.text.strip():
                raise InvalidInput(
                    f"the cue's vector cannot be compared: {view.embeddings.embedder.id} made the vectors here",
                    way_out="Run `agentmem reindex vectors` first, or give the cue a text.",
                )
            asked = replace(asked, vector=None)
        heard: list[Speaking] = list(self._stores.values())
        if chosen.stores:
            heard += [store for store in routed(self._opened.stores(self._scope)) if store.name not in self._stores]
        return recall(view, asked, k, preset=with_stores(chosen, heard), explain=explain)

    def context(
        self, cue: str | Cue, tokens: int = 1500, *, count: Count | None = None, engine: str | Preset = DEFAULT
    ) -> Context:
        """The memories that fit the cue, quoted as data for a prompt, oldest first, within the budget.

        `count` says how many tokens a text has, as your model counts; by default it is estimated on the high side. With
        tiktoken: `count=lambda text: len(encoding.encode_ordinary(text))`. `engine` is as in `recall`.
        """
        whole_number(tokens, "tokens")
        counts = counted(estimate_tokens if count is None else count)
        return pack(self.recall(cue, max(_CONTEXT_POOL, tokens // _SHORT_LINE), engine=engine), tokens, counts)

    def locate(self, text: str, k: int = 10) -> list[Located]:
        """In which records a text may stand, likeliest first: with what probability, and at which of their words."""
        return located(text, self.recall(text, k))

    def order(self, one: str, other: str) -> float:
        """The probability that the first text came before the second: by when what was said happened, then by the order
        of writing, then by the place in a record. A half when nothing tells.

        What SORT asks of a memory (Pink et al. 2024, arXiv 2410.08133).
        """
        return before(self.locate(one), self.locate(other))

    def feedback(self, hit: Hit | str, *, useful: bool, cue: str | None = None) -> Feedback:
        """Note whether a hit helped with what was asked. The record stays as it is, and undo takes the note back.

        With a record's id in place of a hit, `cue` says what was asked. `feedbacks` gives all notes back.
        """
        if not isinstance(hit, Hit):
            hit = Hit(self.get(plain_text(hit, "hit")), 0.0)
        said = Feedback.cause(hit, useful=useful, cue=hit.cue if cue is None else cue)

        def work(writer: Writer) -> Change:
            [record] = verbs.required(writer.reader, [hit.record.id])
            return writer.write([feedback.draft(record)], cause=said)[0]

        return Feedback.told(self._writing.run(work))

    def feedbacks(self) -> Iterator[Feedback]:
        """What was said of hits here and is not taken back, oldest first. It goes with a record that is erased."""
        with self._ledger.snapshot() as reader:
            yield from feedback.standing(reader)

    def get(self, id: str) -> Record:
        """The record with this id, in any state."""
        return verbs.required(self._ledger, [id])[0]

    def find(self, ending: str) -> Record:
        """The record whose id is, or alone ends with, this text."""
        if not plain_text(ending, "id"):
            raise InvalidInput("no id was given")
        exact = self._ledger.get([ending])
        if exact:
            return exact[0]
        found = self._ledger.ids_ending(ending)
        if len(found) > 1:
            raise InvalidInput(f"{ending!r} ends more than one id", way_out="Give more of its characters.")
        if not found:
            raise RecordNotFound(f"no memory {ending!r} in this scope", way_out="`agentmem show` lists them.")
        return self.get(found[0])

    def records(self, *, states: Sequence[State] = ("live",)) -> Iterator[Record]:
        """Every record in these states, in the order of writing."""
        return every(lambda: self._ledger, checked_states(states))

    def newest(self, n: int = 10, *, states: Sequence[State] = ("live",)) -> list[Record]:
        """The `n` records written last, newest first."""
        return self._ledger.newest(whole_number(n, "n"), states=checked_states(states))

    def descendants(self, *ids: str) -> list[Record]:
        """The records that were made from these, directly or not."""
        return verbs.descendants(self._ledger, ids)

    def history(self, id: str) -> list[Change]:
        """Every change of one record, oldest first; also of one that an undo took away."""
        changes = self._ledger.changes(record_id=plain_text(id, "id"))
        if not changes:
            raise RecordNotFound(f"no memory {id!r} in this scope")
        return changes

    def log(self, limit: int = 50, *, before: int | None = None, step: int | None = None) -> list[Change]:
        """The newest changes of this scope, newest first; those with `seq < before`, or of one step alone."""
        whole_number(limit, "limit")
        for name, seq in (("before", before), ("step", step)):
            if seq is not None:
                whole_number(seq, name)
        return self._ledger.changes(step=step, before=before, newest_first=True, limit=limit)

    def stats(self) -> Stats:
        view = self._opened.view(self._scope)
        return Stats(
            url=self.url,
            scope=self._scope,
            records=self._ledger.counts(),
            head=self._ledger.head(),
            embedder=view.embeddings.embedder.id,
            pending=view.embeddings.pending(),
            index=view.index_name,
            bytes=self._opened.ledger.size(),
        )

    def verify(self) -> list[str]:
        """Sentences about where file, journal and rows disagree; none when all is sound."""
        return self._ledger.verify()

    def load(self) -> int:
        """Read the scope into memory, embedding what waits, as the first recall would; the number of live records."""
        view = self._opened.view(self._scope)
        view.refresh(patience=math.inf)
        return len(view.corpus)

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────

    def flush(self, progress: Progress | None = None) -> int:
        """Embed what still waits; the number of texts embedded. A recall does the same before it looks."""
        return self._opened.view(self._scope).embed(progress=progress)

    def reindex(self, name: str = "vectors", progress: Progress | None = None) -> int:
        """Build a projection anew from the ledger; how many texts or vectors went into it.

        `vectors`: every text is embedded by this memory's embedder. While another one's vectors serve, recall goes on
        with them, in every process, and the new ones take over in one step when they are complete; broken off, it
        goes on where it stopped. `words`: every text is taken in again. An index's name (`chroma`): it is emptied and
        filled again. Or a store's: it is derived anew, and the number is that of the last change.
        """
        if self._writing.rehearsing:
            raise InvalidInput("building anew cannot be rehearsed")
        attached = self._stores.get(name)
        if attached is None and name in self._opened.stores(self._scope):
            attached = self._opened.stores(self._scope).opened(name)
        if attached is not None:
            self._opened.stores(self._scope).host.caught_up()
            return attached.rebuild()
        view = self._opened.view(self._scope)
        if name == "words":
            return view.rewrite(progress)
        if name == "vectors":
            return self._opened.reembed(self._scope, progress)
        if name != view.chosen_name:
            listed = ", ".join(["words", "vectors", view.chosen_name, *self.stores])
            raise InvalidInput(
                f"there is no projection {name!r} here",
                way_out=f"There are: {listed}. Another index is chosen by `index`, as in --index chroma.",
            )
        return view.reindex(progress)

    def attach(self, name: str, store: Store | Callable[[Host], Store] | None = None, *, weight: float = 1.0) -> None:
        """Let a store follow this scope's journal and speak in this handle's recalls.

        None stands for the store installed under `name`; a callable makes one for this scope.
        """
        installed = self._opened.stores(self._scope)
        if name in self._stores or name in PARTS or name == "vectors" or (name in installed and store is not None):
            raise InvalidInput(f"the name {name!r} is taken")
        if store is None:
            store = installed.opened(name).store
        elif callable(store):
            store = store(installed.host)
        attached = Attached(name, store, installed.host, weight)
        attached.follow()
        self._stores[name] = attached

    @property
    def host(self) -> Host:
        """What this memory does for a store of its scope: to make one by hand."""
        return self._opened.stores(self._scope).host

    @property
    def stores(self) -> Mapping[str, Store]:
        """The stores by name: those that are installed, opened when first asked for, and those attached. What is given
        has followed the journal to its end."""
        return AllStores(self._opened.stores(self._scope), self._stores)

    def working(self) -> list[Held]:
        """What is held in mind right now, in order: pin it with `pin`, and let `memory.stores["working"]` evict or
        arrange it. PluginError when no working memory is installed."""
        return cast(Working, self.stores["working"]).held()

    def consolidate(
        self, *names: str, now: datetime | str | None = None, models: Models | None = None
    ) -> dict[str, Report]:
        """Let stores do their idle-time work, all or those named; what each did.

        What they write is of the actor `agentmem`, and undo takes it back. `models` is asked where a language model
        helps; without, whatever can be done without is done. PluginError for a name that is not installed.
        """
        if self._writing.rehearsing:
            raise InvalidInput("consolidation cannot be rehearsed", way_out="Undo takes back what it wrote.")
        at = values.now() if now is None else moment(now, name="now")
        installed = self._opened.stores(self._scope)
        installed.host.caught_up()
        done: dict[str, Report] = {}
        for name in names or self.stores:
            attached = self._stores.get(name) or installed.opened(plain_text(name, "name"))
            done[name] = attached.consolidate(at, models)
        return done

    def export_lines(self) -> Iterator[str]:
        """The scope as JSONL: a header, then every record in every state, in the order of writing; lossless.

        One snapshot, however long the reading takes and whatever is written meanwhile.
        """
        with self._ledger.snapshot() as reader:
            yield from record_lines(reader, self._scope)

    def feedback_lines(self) -> Iterator[str]:
        """`feedbacks` as JSONL."""
        for said in self.feedbacks():
            yield json.dumps(said.to_json(full=True), ensure_ascii=False)

    def export(self, path: str | PathLike[str], *, feedback: bool = False) -> int:
        """Write `export_lines`, or `feedback_lines`, to a file, whole or not at all; how many records or rows."""
        count = 0 if feedback else -1  # the header is no record
        with whole_file(Path(path)) as file:
            for line in self.feedback_lines() if feedback else self.export_lines():
                file.write(line + "\n")
                count += 1
        return count
