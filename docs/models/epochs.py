#!/usr/bin/env python3
"""A model of epochs (docs/adr/0019-epochs.md) and erasures (docs/adr/0071-session-rows-end-with-their-month.md) that can be
run: random interleavings of aggregations, readers and crashes.

    python3 docs/models/epochs.py                              some thousand interleavings, and a failure without each rule
    python3 docs/models/epochs.py --runs 60000                 more random ones
    python3 docs/models/epochs.py --without restamp            leave a rule out: some interleavings are wrong
    python3 docs/models/epochs.py --without restamp --seed 7   one interleaving

Needs Python 3.9 or newer, and nothing else. Fails if an interleaving is wrong, or if a rule can be left out and nothing
is wrong.

The model has several months of one organization. Programs of two versions aggregate at the same time. Two configurations
replace each other meanwhile, and batches arrive, some of them with the first event of a month. Programs are killed
between any two steps, and answers of the lake are lost. A configuration can erase cat; every later one keeps that. The clock jumps, so that retired epochs are deleted. Two readers
poll. In addition, every way is tried in which a program of an old version and one of a new version can interrupt each
other once, and a program that does not know of an erasure and one that starts with a new store can. What must hold:

* An answer derives from one set of rules.
* A reader's sum of events never falls, since no batch retracts one, but when answers derive from an erasure for the first
  time. It never exceeds what was delivered.
* A snapshot that is without erased rows never gets one again.
* After a last run without faults, every item is what the rules make of all batches.
"""

import argparse
import itertools
import random
import sys
from dataclasses import dataclass, field
from typing import Optional

# The rules that can be left out, and what each of them says.
RULES = {
    "restamp": "a run writes each snapshot again with its own epoch before it folds the month",
    "second-head": "a reader loads the head again after the items, and starts over if the active epoch moved",
    "markers-first": "a reader loads markers before items",
    "second-look": "who folds a month that has no marker in the epoch looks at the head before it writes items",
    "floor": "items below the floor of their month do not count",
    "guard": "an item replaces none of a newer generation",
    "drop": "a merge drops erased rows, also those that are stored",
    "erasures": "a snapshot says whether it is without erased rows, and who does not know of the erasure does not replace it",
}
KEPT_MINUTES = 15
MAX_STEPS = 20_000
MONTHS = ["January", "February", "March"]
SUBJECTS = ["ann", "bob", "cat"]
ERASED = "cat"


@dataclass(frozen=True)
class Logic:
    """The rules of a fold. Versions and revisions have an order."""

    version: int
    revision: int
    # What the configuration says: whether bob is another name of ann, and whether cat is erased.
    has_alias: bool
    is_erased: bool

    def is_behind(self, other: "Logic") -> bool:
        return self.version < other.version or self.revision < other.revision

    def folds_like(self, other: "Logic") -> bool:
        return self.rules() == other.rules()

    def rules(self) -> tuple:
        return self.version, self.has_alias, self.is_erased

    def kept(self, rows: dict) -> dict:
        """Returns the rows that are not erased."""
        return {event: row for event, row in rows.items() if not (self.is_erased and row[1] == ERASED)}

    def fold(self, rows: dict) -> dict:
        """Returns the number of events of each subject. `org` is the organization."""
        counts = {"org": len(rows)} if rows else {}
        for _, subject in rows.values():
            name = self.name(subject)
            counts[name] = counts.get(name, 0) + 1
        return counts

    def name(self, subject: str) -> str:
        return "ann" if self.has_alias and subject == "bob" else subject


@dataclass(frozen=True)
class Snapshot:
    generation: int
    epoch: int
    # By event id: version and subject.
    rows: dict
    # The version of the program, and whether erased rows are deleted.
    version: int
    is_erased: bool


@dataclass(frozen=True)
class Head:
    # Pairs of an epoch and its logic.
    active: Optional[tuple] = None
    target: Optional[tuple] = None
    # Pairs of an epoch and the minute since when nobody needs it.
    retired: tuple = ()
    last_epoch: int = 0

    def newest(self) -> Optional[tuple]:
        return self.target or self.active


@dataclass
class World:
    """The lake, the store and the clock. A step of a process reads or changes them at once."""

    chance: random.Random
    left_out: str
    # Number of answers of the lake that can still be lost.
    losses: int
    now: int = 0
    # Whether there is an alias, and whether cat is erased.
    configurations: list = field(default_factory=lambda: [(False, False)])
    inbox: dict = field(default_factory=dict)
    delivered: dict = field(default_factory=dict)
    months: dict = field(default_factory=dict)
    head: Head = Head()
    head_revision: int = 0
    # By epoch, month and subject: rules, number and generation.
    items: dict = field(default_factory=dict)
    # By epoch and month: generation and floor.
    markers: dict = field(default_factory=dict)
    wrong: Optional[str] = None

    def applies(self, rule: str) -> bool:
        return rule != self.left_out

    def pick(self, count: int) -> int:
        """Returns a number below `count`, the same for a seed in every version of Python."""
        return int(self.chance.random() * count)

    def logic(self, version: int) -> Logic:
        return Logic(version, len(self.configurations), *self.configurations[-1])

    def with_new_store(self) -> "World":
        """Returns the same lake with an empty store."""
        shared = {name: getattr(self, name) for name in ["configurations", "inbox", "delivered", "months"]}
        return World(self.chance, self.left_out, losses=0, **shared)

    def deliver(self, number: int, batch: dict) -> None:
        self.inbox[number] = batch
        self.delivered[number] = batch

    def save_head(self, head: Head, revision: int) -> bool:
        if self.head_revision != revision:
            return False
        self.head, self.head_revision = head, revision + 1
        return True

    def fail(self, what: str) -> None:
        self.wrong = self.wrong or what


def merged(rows: dict, new: dict) -> dict:
    """Returns the winner of each event id."""
    rows = dict(rows)
    for event, row in new.items():
        rows[event] = max(rows.get(event, row), row)
    return rows


# The processes are generators. Each `yield` ends a step: other processes run, or this one is killed. Where a pause does
# most harm, they yield PAUSE, and wait for many steps of the others.
PAUSE = "pause"


def enter(world: World, logic: Logic):
    """Returns the epoch that a run works in; `None` if newer rules are in force."""
    while True:
        head, revision = world.head, world.head_revision
        yield
        newest = head.newest()
        if newest and logic.is_behind(newest[1]):
            return None
        if newest and logic.folds_like(newest[1]):
            return newest[0]
        # Epochs in the lake are used, too, if the store was lost.
        stamps = {(snapshot.epoch, snapshot.version) for snapshot in world.months.values()}
        epoch = max([head.last_epoch, *(stamp[0] for stamp in stamps)]) + 1
        if newest is None and len(stamps) == 1 and next(iter(stamps))[1] == logic.version:
            # A new store goes on with the number of the snapshots.
            epoch = next(iter(stamps))[0]
        has_months = bool(world.months)
        yield
        rules = (epoch, logic)
        if newest is None and not has_months:
            new = Head(active=rules, last_epoch=epoch)
        else:
            retired = head.retired + (((head.target[0], world.now),) if head.target else ())
            new = Head(head.active, rules, retired, epoch)
        is_saved = world.save_head(new, revision)
        yield
        if is_saved:
            return epoch


def pass_epoch(world: World, logic: Logic):
    """Sets a target for an epoch of the lake that the store does not know: another store has aggregated the lake."""
    head, revision = world.head, world.head_revision
    stamped = max(world.months.values(), key=lambda snapshot: snapshot.epoch)
    yield
    newest = head.newest()
    if newest is None or newest[0] >= stamped.epoch or logic.is_behind(newest[1]):
        return
    number = stamped.epoch if stamped.version == logic.version else stamped.epoch + 1
    retired = head.retired + (((head.target[0], world.now),) if head.target else ())
    world.save_head(Head(head.active, (number, logic), retired, number), revision)
    yield


def advanced(world: World, stored: Optional[tuple], generation: int, is_full: bool) -> Optional[tuple]:
    """Returns the marker after a fold; `None` if the fold must not move it."""
    floor = generation if is_full and world.applies("floor") else (stored[1] if stored else 0)
    if stored is None:
        return (generation, floor) if is_full else None
    if stored[0] > generation or (not is_full and stored[0] + 1 < generation):
        return None
    return generation, floor


def fold_month(world: World, epoch: int, logic: Logic, month: str, new: dict):
    """Merges rows into a month and folds it. Returns whether it is done: not if newer rules have the month."""
    must_fold_all = False
    drops = world.applies("drop")
    while True:
        before = world.months.get(month)
        yield
        if before is None and not (logic.kept(new) if drops else new):
            return True
        if before and before.epoch > epoch:
            return False
        if before and before.is_erased and not logic.is_erased and world.applies("erasures"):
            return False
        marker = world.markers.get((epoch, month))
        yield
        rows_before, generation = (before.rows, before.generation) if before else ({}, 0)
        rows = merged(rows_before, new)
        rows = logic.kept(rows) if drops else rows
        must_restamp = before is not None and before.epoch != epoch and world.applies("restamp")
        must_restamp = must_restamp or (before is not None and before.is_erased != logic.is_erased)
        is_full = must_fold_all or marker is None or marker[0] != generation
        if rows != rows_before or must_restamp:
            current = world.months.get(month)
            is_current = (current.generation if current else 0) == generation
            if is_current:
                generation += 1
                world.months[month] = Snapshot(generation, epoch, rows, logic.version, logic.is_erased)
                if current and current.is_erased and any(subject == ERASED for _, subject in rows.values()):
                    world.fail(f"{month} has an erased row again")
            is_lost = is_current and world.losses > 0 and world.pick(8) == 0
            yield
            if not is_current or is_lost:
                world.losses -= is_lost
                continue
        elif not is_full:
            return True
        if marker is None and world.applies("second-look"):
            head = world.head
            yield
            if head.newest() is None or head.newest()[0] != epoch:
                return False
        counts = logic.fold(rows)
        changed = [event for event in rows if rows[event] != rows_before.get(event)]
        sides = [side[event][1] for event in changed for side in (rows, rows_before) if event in side]
        subjects = sorted(counts) if is_full else sorted({"org", *map(logic.name, sides)})
        is_refused = False
        for subject in subjects:
            key = (epoch, month, subject)
            if key in world.items and world.items[key][2] > generation and world.applies("guard"):
                is_refused = True
            else:
                world.items[key] = (logic.rules(), counts.get(subject, 0), generation)
            yield
        if not is_refused:
            moved = advanced(world, world.markers.get((epoch, month)), generation, is_full)
            if moved:
                world.markers[(epoch, month)] = moved
            yield
            if moved:
                return True
        must_fold_all = True


def switch(world: World, epoch: int):
    """Makes the epoch active if all months are complete in it."""
    head, revision = world.head, world.head_revision
    yield
    if head.target is None or head.target[0] != epoch:
        return
    months = list(world.months)
    yield
    markers = {month: world.markers.get((epoch, month)) for month in months}
    yield
    for month in months:
        snapshot, marker = world.months[month], markers[month]
        yield
        is_stamped = snapshot.epoch == epoch or not world.applies("restamp")
        if marker is None or marker[0] < snapshot.generation or not is_stamped:
            return
    yield PAUSE
    retired = head.retired + (((head.active[0], world.now),) if head.active else ())
    world.save_head(Head(head.target, None, retired, head.last_epoch), revision)
    yield


def delete_retired(world: World):
    head, revision = world.head, world.head_revision
    yield
    over = {epoch for epoch, since in head.retired if since + KEPT_MINUTES <= world.now}
    if not over:
        return
    for stored in [world.items, world.markers]:
        for key in [key for key in stored if key[0] in over]:
            stored.pop(key, None)
            yield
    retired = tuple(pair for pair in head.retired if pair[0] not in over)
    world.save_head(Head(head.active, head.target, retired, head.last_epoch), revision)
    yield


def aggregate(world: World, version: int):
    """One run of a program."""
    logic = world.logic(version)
    yield
    epoch = yield from enter(world, logic)
    if epoch is None:
        return
    batches = sorted(world.inbox)
    yield PAUSE
    for number in batches:
        batch = world.inbox.get(number)
        yield
        for month, rows in (batch or {}).items():
            is_done = yield from fold_month(world, epoch, logic, month, rows)
            if not is_done:
                yield from pass_epoch(world, logic)
                return
        world.inbox.pop(number, None)
        yield
    months = list(world.months)
    yield
    for month in months:
        is_done = yield from fold_month(world, epoch, logic, month, {})
        if not is_done:
            yield from pass_epoch(world, logic)
            return
    yield from switch(world, epoch)
    yield from delete_retired(world)


def program(world: World, version: int):
    for _ in range(3):
        yield from aggregate(world, version)


def read(world: World):
    """Returns the rules of an answer, its sum and whether it derives from an erasure; `None` before there is one."""
    while True:
        head = world.head
        yield
        if head.active is None:
            return None
        epoch = head.active[0]
        markers = {}
        if world.applies("markers-first"):
            markers = {key[1]: marker for key, marker in world.markers.items() if key[0] == epoch}
            yield
        items = {}
        for month in MONTHS:
            items[month] = world.items.get((epoch, month, "org"))
            yield
        if not world.applies("markers-first"):
            markers = {key[1]: marker for key, marker in world.markers.items() if key[0] == epoch}
            yield
        if world.applies("second-head"):
            active = world.head.active
            yield
            if active is None or active[0] != epoch:
                continue
        counted = [item for month, item in items.items() if item and month in markers and item[2] >= markers[month][1]]
        return {item[0] for item in counted}, sum(item[1] for item in counted), head.active[1].is_erased


def reader(world: World):
    """Polls for ever, and compares each answer with the one before."""
    last, was_erased = 0, False
    while True:
        answer = yield from read(world)
        if answer is not None:
            rules, total, is_erased = answer
            if is_erased and not was_erased:
                last, was_erased = 0, True
            delivered = {(month, id) for batch in world.delivered.values() for month in batch for id in batch[month]}
            if len(rules) > 1:
                world.fail(f"an answer derives from several rules: {rules}")
            if total < last:
                world.fail(f"the sum fell from {last} to {total}")
            if total > len(delivered):
                world.fail(f"the sum is {total}, and {len(delivered)} events were delivered")
            last = total
        yield


def random_batch(world: World) -> dict:
    batch = {}
    for _ in range(1 + world.pick(3)):
        rows = batch.setdefault(MONTHS[world.pick(len(MONTHS))], {})
        version = 1 + world.pick(3)
        event = f"event {world.pick(4)}"
        # The subject follows from the id and the version, as facts do. What is erased follows from the id.
        others = [subject for subject in SUBJECTS if subject != ERASED]
        subject = ERASED if event == "event 3" else others[(int(event[-1]) + version) % len(others)]
        rows[event] = (version, subject)
    return batch


def finish(process) -> None:
    for _ in process:
        pass


def check_end(world: World) -> None:
    """Runs a program without faults, and compares what it leaves with what all batches say."""
    world.losses = 0
    for _ in range(3):
        finish(aggregate(world, 2))
    logic = world.logic(2)
    expected: dict = {}
    for batch in world.delivered.values():
        for month, rows in batch.items():
            expected[month] = merged(expected.get(month, {}), rows)
    active = world.head.active
    # A month of which everything is erased may have an empty snapshot, or none.
    expected = {month: logic.kept(rows) for month, rows in expected.items() if logic.kept(rows)}
    stored = {month: snapshot.rows for month, snapshot in world.months.items() if snapshot.rows}
    if world.inbox or stored != expected:
        return world.fail("the lake does not have all batches")
    if active is None or not active[1].folds_like(logic) or world.head.target:
        return world.fail(f"the newest rules are not active: {world.head}")
    for month, rows in expected.items():
        _, floor = world.markers[(active[0], month)]
        stored = {key[2]: item for key, item in world.items.items() if key[:2] == (active[0], month) and item[2] >= floor}
        if {subject: item[1] for subject, item in stored.items() if item[1]} != logic.fold(rows):
            return world.fail(f"{month} has {stored}, expected {logic.fold(rows)}")
    return None


def run(seed: int, left_out: str = "") -> Optional[str]:
    """Runs one interleaving. Returns what is wrong with it."""
    world = World(random.Random(seed), left_out, losses=0)
    world.losses = world.pick(3)
    batches = [random_batch(world) for _ in range(2 + world.pick(5))]
    for number, batch in enumerate(batches):
        if world.pick(2):
            world.deliver(number, batch)
    if world.pick(2):
        finish(aggregate(world, 1))
    processes = [program(world, version) for version in ([1, 2, 2] if world.pick(2) else [1, 1, 2])]
    readers = [reader(world), reader(world)]
    crashes, changes, jumps, erasures = world.pick(4), world.pick(4), world.pick(4), world.pick(2)
    # Processes have very different speeds: mostly the one that was last goes on, and the others wait.
    running = processes[0]
    # The steps until a process that pauses goes on.
    pauses: dict = {}
    for _ in range(MAX_STEPS):
        waiting = [number for number in range(len(batches)) if number not in world.delivered]
        if not processes or world.wrong:
            break
        event = world.pick(150)
        if event == 0 and crashes:
            crashes -= 1
            processes.pop(world.pick(len(processes)))
        elif event == 1 and changes:
            changes -= 1
            has_alias, is_erased = world.configurations[-1]
            world.configurations.append((not has_alias, is_erased))
        elif event == 2 and jumps:
            jumps -= 1
            world.now += KEPT_MINUTES
        elif event == 6 and erasures:
            erasures -= 1
            world.configurations.append((world.configurations[-1][0], True))
        elif event in (3, 4) and waiting:
            world.deliver(waiting[0], batches[waiting[0]])
        elif event == 5 and world.delivered:
            number = sorted(world.delivered)[world.pick(len(world.delivered))]
            world.deliver(number, batches[number])
        else:
            pauses = {process: steps - 1 for process, steps in pauses.items() if steps}
            awake = [process for process in processes + readers if process not in pauses]
            if world.pick(8) == 0 or running not in awake:
                running = awake[world.pick(len(awake))]
            step = next(running, "ended")
            if step == "ended":
                processes.remove(running)
            elif step == PAUSE and world.pick(2):
                pauses[running] = world.pick(150)
    else:
        world.fail("the programs did not end")
    for number, batch in enumerate(batches):
        world.deliver(number, batch)
    if not world.wrong:
        check_end(world)
    for polling in readers:
        for _ in range(20):
            next(polling)
    return world.wrong


def run_staged(month: str, old_steps: int, new_steps: int, left_out: str = "") -> "tuple[Optional[str], bool]":
    """Runs a program of the old version for some steps and one of the new version for some steps. Then a batch of the month
    arrives, and the old one runs to its end. A reader polls before and after the new one ends. Returns what is wrong, and
    whether both programs made all their steps.
    """
    world = World(random.Random(0), left_out, losses=0)
    world.deliver(0, {"January": {"event 0": (1, "ann")}, "February": {"event 1": (1, "bob")}})
    finish(aggregate(world, 1))
    old, new, polling = aggregate(world, 1), aggregate(world, 2), reader(world)
    taken = [sum(1 for _ in itertools.islice(process, steps)) for process, steps in [(old, old_steps), (new, new_steps)]]
    world.deliver(1, {month: {"event 2": (1, "cat")}})
    for process in [old, new]:
        finish(process)
        for _ in range(40):
            next(polling)
    if not world.wrong:
        check_end(world)
    return world.wrong, taken == [old_steps, new_steps]


def staged_runs(left_out: str = ""):
    """Yields what [`run_staged`] says of all numbers of steps, with what it ran. March has no snapshot before."""
    for month in ["February", "March"]:
        for old_steps in itertools.count():
            for new_steps in itertools.count():
                wrong, is_complete = run_staged(month, old_steps, new_steps, left_out)
                yield f"a batch of {month}, {old_steps} and {new_steps} steps", wrong
                if not is_complete:
                    break
            if not is_complete and new_steps == 0:
                break


def run_erasure(old_steps: int, new_steps: int, left_out: str = "") -> "tuple[Optional[str], bool]":
    """Runs a program for some steps. Then cat is erased, the store is lost, and a program with a new store runs for some
    steps. A batch with a row of cat arrives again, and both run to their end. Returns what is wrong, and whether both
    programs made all their steps.
    """
    world = World(random.Random(0), left_out, losses=0)
    batch = {"January": {"event 0": (1, "ann"), "event 1": (1, ERASED)}, "February": {"event 2": (1, ERASED)}}
    world.deliver(0, batch)
    finish(aggregate(world, 2))
    world.deliver(1, {"January": {"event 3": (1, ERASED)}})
    old = aggregate(world, 2)
    taken = sum(1 for _ in itertools.islice(old, old_steps))
    world.configurations.append((False, True))
    late = world.with_new_store()
    new = aggregate(late, 2)
    is_complete = taken == old_steps and sum(1 for _ in itertools.islice(new, new_steps)) == new_steps
    world.deliver(2, batch)
    for process in [old, new]:
        finish(process)
    check_end(late)
    return world.wrong or late.wrong, is_complete


def erasure_runs(left_out: str = ""):
    """Yields what [`run_erasure`] says of all numbers of steps, with what it ran."""
    for old_steps in itertools.count():
        for new_steps in itertools.count():
            wrong, is_complete = run_erasure(old_steps, new_steps, left_out)
            yield f"an erasure, {old_steps} and {new_steps} steps", wrong
            if not is_complete:
                break
        if not is_complete and new_steps == 0:
            break


def random_runs(seeds, left_out: str = ""):
    return ((f"seed {seed}", run(seed, left_out)) for seed in seeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2_000, help="random interleavings (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="run the one of this seed only")
    parser.add_argument("--without", default="", choices=["", *RULES], metavar="RULE", help=", ".join(RULES))
    arguments = parser.parse_args()
    if arguments.seed is not None:
        runs = random_runs([arguments.seed], arguments.without)
    else:
        runs = itertools.chain(
            staged_runs(arguments.without),
            erasure_runs(arguments.without),
            random_runs(range(arguments.runs), arguments.without),
        )
    count, wrong = 0, []
    for count, (name, what) in enumerate(runs, start=1):
        if what:
            wrong.append(f"{name}: {what}")
    left_out = f"without the rule that {RULES[arguments.without]}" if arguments.without else "with all rules"
    print(f"{count:,} interleavings {left_out}: {len(wrong):,} wrong")
    for what in wrong[:5]:
        print(f"  {what}")
    if arguments.without or arguments.seed is not None:
        return
    needless = []
    for rule, text in RULES.items():
        all_runs = itertools.chain(staged_runs(rule), erasure_runs(rule), random_runs(range(arguments.runs), rule))
        failed = next((f"{name}: {what}" for name, what in all_runs if what), None)
        print(f"without the rule that {text}: {failed}")
        if failed is None:
            needless.append(rule)
    if wrong or needless:
        sys.exit(f"wrong: {len(wrong)}; rules that can be left out: {', '.join(needless) or 'none'}")


if __name__ == "__main__":
    main()
