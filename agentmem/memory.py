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
from typing import Any, Literal, Self, TypeVar, Unpack

from agentmem import feedback, verbs
from agentmem import undo as undoing
from agentmem.cues import Context, Cue, Hit, Hits
from agentmem.embedding import AnyEmbedder, Embedder
from agentmem.errors import InvalidInput
from agentmem.export import chosen_lines, markdown_lines, record_lines, whole_file
from agentmem.exposure import Capped
from agentmem.feedback import Feedback
from agentmem.index import Progress
from agentmem.intake import Intake, Item
from agentmem.ledger import Draft, Durability, Reader
from agentmem.minding import Minding
from agentmem.models.pool import AnyModels
from agentmem.opened import Opened
from agentmem.recall.engine import recall
from agentmem.recall.hearing import Voice
from agentmem.recall.order import Located, before, located
from agentmem.recall.pack import Count, counted, estimate_tokens, pack
from agentmem.recall.presets import DEFAULT, Preset, preset
from agentmem.recall.signal import Question
from agentmem.records import DEFAULT_SCOPE, Change, Place, Record, RecordFields, Scope, Source, checked
from agentmem.stats import Stats
from agentmem.suspicion import REVIEW
from agentmem.values import Json, many, plain_text, whole_number
from agentmem.writing import Writer, admitted

__all__ = ["Memory"]

T = TypeVar("T")
_NONE: tuple[str, ...] = ()  # a default to tell from what was given; CPython has but one empty tuple
_CONTEXT_POOL = 32  # hits that a packed context chooses from, at least: as many as one search brings up
_SHORT_LINE = 40  # tokens of a short turn as it is quoted


class Memory(Minding):
    """A memory bound to one scope. Every verb stays inside it; `scope()` opens another.

    Safe to use from several threads, and several processes may have the same folder open. Verbs raise `AgentMemError`
    children only: `InvalidInput` for bad arguments, `RecordNotFound` for an id that is not in this scope, `Conflict`
    when somebody was faster, `LedgerError` when the storage fails. What a writing verb returns is durable.
    """

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
        models: AnyModels | None = None,
    ) -> Self:
        """Open, or with `create` make, the memory in a folder or at a database URL.

        `durability="process"`: what a verb returned survives kill -9 of the process; `"power"`: a power cut too, at
        the price of an fsync a commit. `embedder` is a name (`auto`, `hash`, `minilm:/path`, `openai:MODEL@URL`) or an
        object, LangChain's `Embeddings` too. `index` is `auto`, which goes by the size of the scope, `exact`,
        `chroma`, or `chroma:URL` for a server. `actor` is written to the journal with every change. With
        `late_interaction` the vectors of single words are kept too, where the embedder gives them (MiniLM does: about
        3 KB a turn), and recall finds more by them. `models` are the language models: a spec, a LangChain chat model, a
        mapping from roles to such, or a `ModelPool`; none is needed, and none is opened before it is asked.

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
            models=models,
        )
        return cls(opened, bound, actor=actor)

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
    def actor(self) -> str:
        """The name under which its changes are journaled."""
        return self._writing.actor

    @property
    def embedder(self) -> Embedder:
        """The embedder that this memory was opened with, as this scope may ask it."""
        return self._opened.embedder_of(self._scope)

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
        made = Memory(self._opened, bound, actor=self._writing.actor, owner=False, pool=self._pool)
        made.route(self._routes)
        return made

    def with_models(self, models: AnyModels) -> Memory:
        """A handle on the same scope that asks these language models, whatever the memory was opened with."""
        made = Memory(self._opened, self._scope, actor=self._writing.actor, owner=False, pool=self._opened.pool(models))
        made.route(self._routes)
        made._stores = self._stores
        return made

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
        repeats: Literal["keep", "count"] = "keep",
    ) -> Record:
        """Remember a text. Durable when it returns; no model is asked, and the embedding is made later.

        `at` is when it happened: a timezone-aware datetime or ISO text; None is now. `vector`, of the embedder's
        dimension, spares the embedding. With `repeats="count"` a text that says what this speaker's memory of this kind
        says already is not stored anew: that one is returned, and what was said again is noted on it, word for word.
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
        taken = Intake.single(text, given, vector, self._scope, self.embedder)
        if repeats not in ("keep", "count"):
            raise InvalidInput(f"repeats must be 'keep' or 'count', not {repeats!r}")
        said = self._said_already(taken.records[0], vector) if repeats == "count" else None
        return self._add(taken, "refuse")[0] if said is None else said

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
            self._opened.forget_answers()
            self._opened.view(self._scope).start_over()
            self._ledger.reclaim()
            self._installed.follow()
            for attached in self._stores.values():
                attached.try_to_follow()
        return going

    def restore(self, *ids: str) -> list[Record]:
        """Bring back from the trash."""
        return self._change(ids, verbs.restore)

    def undo(
        self,
        n: int = 1,
        *,
        step: int | None = None,
        since: int | None = None,
        force: Collection[str] = (),
        dry_run: bool = False,
    ) -> list[Change]:
        """Take back the newest `n` steps that stand, the one named, or all that stand `since` one, itself included; the
        changes this made, [] when there is none.

        All or nothing: UndoBlocked names the records that a later change touched. Those listed in `force` are set
        back all the same. Undoing an undo redoes it.
        """
        if isinstance(force, str):
            raise InvalidInput("force must be a list of ids, not one text", way_out=f"Write force=[{force!r}].")

        if step is not None and since is not None:
            raise InvalidInput("undo takes one step, or all since one: give step or since")

        def work(writer: Writer) -> list[Change]:
            if step is not None:
                verb, target = undoing.resolve(writer.reader, step)
                return writer.take_back(undoing.take_back(writer.reader, target, verb, force), target)
            if since is not None:
                count = undoing.standing_since(writer.reader, whole_number(since, "since", 1))
                return self._take_back(writer, count, "undo", undoing.next_undo, force)
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
    ) -> Hits:
        """The `k` memories that fit the cue best, best first, each with its parts and the reason it is here.

        Filters cut before anything is scored: `since` (inclusive) and `until` (exclusive) on when it happened; any of
        `kinds`; any of `tags`; `speaker` and `place` whatever their case, a place including those inside it.
        `explain` appends up to `k` candidates that lost, with a verdict that says by how much, and up to `k` that the
        filters kept out, with one that says by which; `Hit.won` is False of both. The list's `asked` tells which stores
        were asked, why, and what went wrong with any: recall goes on without it. `engine` says which signals are asked
        (`agentmem.recall.presets`): the default, or `training-free`, `bm25`, `dense`, `rrf`, `zsum` to compare.
        """
        narrowed: Any = {"since": since, "until": until, "kinds": kinds, "speaker": speaker, "place": place}
        return self._recall(cue, k, engine, explain=explain, tags=tags, **narrowed)

    def _recall(
        self,
        cue: str | Cue,
        k: int,
        engine: str | Preset,
        *,
        explain: bool = False,
        without: Collection[int] = (),
        **narrowed: Any,
    ) -> Hits:
        """`without`: the positions of records that are passed over."""
        whole_number(k, "k")
        chosen = preset(engine)
        given = Cue(text=plain_text(cue, "cue")) if isinstance(cue, str) else cue
        if not isinstance(given, Cue):
            raise InvalidInput(f"a cue must be a text or a Cue, not {type(cue).__name__}")
        asked = given.narrowed(**narrowed)
        if not asked.text.strip() and asked.vector is None:
            raise InvalidInput("the cue is empty: nothing to look for", way_out="`agentmem show` lists memories.")
        view = self._opened.view(self._scope)
        if asked.vector is not None and view.embeddings.embedder.id != self.embedder.id:
            if not asked.text.strip():
                raise InvalidInput(
                    f"the cue's vector cannot be compared: {view.embeddings.embedder.id} made the vectors here",
                    way_out="Run `agentmem reindex vectors` first, or give the cue a text.",
                )
            asked = replace(asked, vector=None)
        voices = partial(self._voices, chosen)
        return recall(view, asked, k, preset=chosen, voices=voices, explain=explain, without=without)

    def _voices(self, chosen: Preset, question: Question) -> list[Voice]:
        """Whom this handle's recalls ask: what is attached always, what is installed as the router says."""
        voices: list[Voice] = list(self._stores.values())
        if chosen.stores:
            routed = self.router.voices(question, everything=chosen.everything)
            voices += [voice for voice in routed if voice.name not in self._stores]
        return voices

    def context(
        self,
        cue: str | Cue,
        tokens: int = 1500,
        *,
        count: Count | None = None,
        engine: str | Preset = DEFAULT,
        most_repeats: int | None = None,
        without: Collection[str | Record] = (),
    ) -> Context:
        """The memories that fit the cue, quoted as data for a prompt, oldest first, within the budget.

        `count` says how many tokens a text has, as your model counts; by default it is estimated on the high side. With
        tiktoken: `count=lambda text: len(encoding.encode_ordinary(text))`. `engine` is as in `recall`. With
        `most_repeats` a memory that stood in more than so many of the last fifty contexts gives its place to others,
        the best hit and what is pinned excepted; `exposure` tells what they were filled with, and `left_out` which
        memory filled more than a tenth of them. Those `without` which it is to be, records or ids, are in the prompt
        already. What waits for review is left out.
        """
        whole_number(tokens, "tokens")
        counts = counted(estimate_tokens if count is None else count)
        exposure = self._opened.exposure(self._scope)
        left = list(many(without, "without"))
        ids = [plain_text(one, "without") for one in left if not isinstance(one, Record)]
        named = self._ledger.get(ids) if ids else []
        shown = {one.position for one in (*left, *named) if isinstance(one, Record)}
        found = self._recall(cue, max(_CONTEXT_POOL, tokens // _SHORT_LINE), engine, without=shown)
        held = {hit.record.id: f"{hit.record.id}: it waits for review" for hit in found if REVIEW in hit.record.tags}
        hits = [hit for hit in found if hit.record.id not in held]
        capped = Capped(tuple(hits), {}) if most_repeats is None else exposure.capped(hits, most_repeats)
        packed = capped.told(pack(capped.hits, tokens, counts))
        exposure.saw(packed)
        return replace(packed, left_out=(*packed.left_out, *held.values(), *exposure.warnings()), asked=found.asked)

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

        told = Feedback.told(self._writing.run(work))
        if not self._writing.rehearsing:
            self._installed.open_beside("gate")
        return told

    def feedbacks(self) -> Iterator[Feedback]:
        """What was said of hits here and is not taken back, oldest first. It goes with a record that is erased."""
        with self._ledger.snapshot() as reader:
            yield from feedback.standing(reader)

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
        if attached is None and name in self._installed:
            attached = self._installed.opened(name)
        if attached is not None:
            self._installed.host.caught_up()
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

    def export(self, path: str | PathLike[str], *, feedback: bool = False, only: Iterable[str] = _NONE) -> int:
        """Write `export_lines`, or `feedback_lines`, to a file, whole or not at all; how many records or rows.

        With `only`, the records with these ids alone, in this order: as JSONL that can be taken in again, or to be
        read, where the file's name ends with `.md`.
        """
        if only is not _NONE:
            chosen = verbs.required(self._ledger, [plain_text(id, "only") for id in many(only, "only")])
            prose = Path(path).suffix == ".md"
            with whole_file(Path(path)) as file:
                lines = markdown_lines(chosen) if prose else chosen_lines(chosen, self._scope)
                file.writelines(f"{line}\n" for line in lines)
            return len(chosen)
        count = 0 if feedback else -1  # the header is no record
        with whole_file(Path(path)) as file:
            for line in self.feedback_lines() if feedback else self.export_lines():
                file.write(line + "\n")
                count += 1
        return count
