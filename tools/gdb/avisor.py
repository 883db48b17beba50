"""Commands for gdb that ask the debugger of Avisor (guest/gdb) about the past of a VM. `make gdb` has gdb read this file.

avisor tree              the snapshots as a tree
avisor when EXPRESSION   between which snapshots did these bytes change? The newest change first
avisor who EXPRESSION    goes to before the newest change, and runs to the instruction that made it
avisor diff A B          pages that two snapshots have in different frames, and the variables in them; `now` is a snapshot, too
avisor look N            shows memory and registers of snapshot N, until `avisor look now` or the VM runs
avisor restore N         goes to snapshot N
avisor core N FILE       writes snapshot N as an ELF core
"""

import re
from collections import namedtuple

try:
    import gdb
except ImportError:
    # Its pure parts are tested without gdb, too.
    gdb = None

Snapshot = namedtuple("Snapshot", "id parent pages seconds")
Change = namedtuple("Change", "older newer")
Symbol = namedtuple("Symbol", "address name")

# How often a watchpoint may be hit before `who` gives up.
HITS = 1000
PAGE = 4096


class Failed(Exception):
    """What the stub, or this file, has to say in place of an answer."""


# What the stub answers, as lines: pure.


def answer(text):
    """The lines of an answer; an error is raised."""
    lines = text.splitlines()
    for line in lines:
        if line.startswith("error: "):
            raise Failed(line[len("error: ") :])
    return lines


def snapshots_of(lines):
    """Those that `monitor snapshots` tells of."""
    found = []
    for line in lines:
        number, parent, pages, seconds = line.split()
        parent = None if parent == "-" else int(parent)
        found.append(Snapshot(int(number), parent, int(pages), float(seconds)))
    return found


def changes_of(lines):
    """Those that `monitor when` tells of."""
    return [Change(*line.split()) for line in lines]


def ranges_of(lines):
    """Those that `monitor diff` tells of: the first and the last address of each."""
    return [tuple(int(word, 16) for word in line.split()) for line in lines]


def tree(snapshots):
    """The snapshots as a tree: a line for each, those that come from one below it."""
    there = {snapshot.id for snapshot in snapshots}
    children = {}
    for snapshot in snapshots:
        parent = snapshot.parent if snapshot.parent in there else None
        children.setdefault(parent, []).append(snapshot)
    lines = []
    # A stack in place of a recursion: a history is a long chain.
    stack = [(root, "", "") for root in reversed(children.get(None, []))]
    while stack:
        snapshot, indent, branch = stack.pop()
        gone = snapshot.parent is not None and snapshot.parent not in there
        origin = f", from #{snapshot.parent} (gone)" if gone else ""
        pages = "page" if snapshot.pages == 1 else "pages"
        lines.append(f"{indent}{branch}#{snapshot.id}  {snapshot.seconds:.6f} s, {snapshot.pages} {pages} of its own{origin}")
        below = children.get(snapshot.id, [])
        if len(below) == 1:
            # A chain goes straight down.
            stack.append((below[0], indent + " " * len(branch), ""))
            continue
        for child in reversed(below):
            stack.append((child, indent + " " * len(branch), "|- "))
    return lines


def symbols_of(text):
    """Those of data that `maintenance print msymbols` tells of, by their addresses."""
    found = {}
    for line in text.splitlines():
        match = re.match(r" *\[ *\d+\] ([dDbB]) (0x[0-9a-f]+) (\S+)", line)
        if match:
            found.setdefault(int(match[2], 16), Symbol(int(match[2], 16), match[3]))
    return sorted(found.values())


def symbols_in(symbols, physical, first, last):
    """The names of symbols in a range of physical addresses, and of the one that reaches into it. `physical` translates, or has None."""
    names = []
    for symbol, after in zip(symbols, symbols[1:] + [None]):
        address = physical(symbol.address)
        if address is None:
            continue
        # A variable ends where the next one begins, at the latest; a page apart they are not neighbours.
        size = after.address - symbol.address if after else 1
        end = address + (size if size <= PAGE else 1)
        if address <= last and end > first:
            names.append(symbol.name)
    return names


class Translation:
    """Virtual addresses as physical ones: what was asked for once is known up to the end of its page or block."""

    def __init__(self, ask):
        self.ask = ask
        self.known = []

    def __call__(self, address):
        for first, physical, size in self.known:
            if first <= address < first + size:
                return None if physical is None else physical + (address - first)
        try:
            physical, size = (int(word, 16) for word in answer(self.ask(address))[0].split())
        except Failed:
            # Nothing is mapped there.
            physical, size = None, PAGE - address % PAGE
        self.known.append((address, physical, size))
        return physical


# What gdb does.


def monitor(words):
    """What the stub says to a command of the monitor."""
    return gdb.execute(f"monitor {words}", to_string=True)


def flush():
    """Has gdb forget registers and memory: the stub shows others from now on."""
    gdb.execute("maintenance flush register-cache", to_string=True)
    gdb.execute("maintenance flush dcache", to_string=True)


def place_of(expression):
    """Address and size of what an expression names."""
    value = gdb.parse_and_eval(expression)
    if value.address is None:
        raise Failed(f"{expression} is not in memory")
    if value.type.sizeof == 0:
        raise Failed(f"{expression} has no bytes")
    return int(value.address), value.type.sizeof


def bytes_at(place):
    address, size = place
    return bytes(gdb.selected_inferior().read_memory(address, size))


def looking_at(snapshot, action):
    """What `action` returns while a snapshot is shown."""
    answer(monitor(f"look {snapshot}"))
    flush()
    try:
        return action()
    finally:
        monitor("look now")
        flush()


def changes(place):
    address, size = place
    return changes_of(answer(monitor(f"when {address:#x} {size}")))


def name(snapshot):
    return snapshot if snapshot == "now" else f"#{snapshot}"


def show_tree(words):
    for line in tree(snapshots_of(answer(monitor("snapshots")))):
        print(line)


def show_when(words):
    expression = " ".join(words)
    place = place_of(expression)
    found = changes(place)
    if not found:
        print(f"{expression} has been the same in all snapshots that this one comes from")
    for change in found:
        old, new = (looking_at(at, lambda: gdb.parse_and_eval(expression).format_string()) for at in change)
        print(f"{name(change.older)} to {name(change.newer)}: {old} -> {new}")


def go(snapshot):
    answer(monitor(f"restore {snapshot}"))
    flush()


def show_who(words):
    expression = " ".join(words)
    place = place_of(expression)
    found = changes(place)
    if not found:
        raise Failed(f"{expression} has been the same in all snapshots that this one comes from")
    change = found[0]
    wanted = looking_at(change.newer, lambda: bytes_at(place))
    go(change.older)
    print(f"{expression} changed between {name(change.older)} and {name(change.newer)}; from {name(change.older)} on:")
    watch(place, wanted)
    # gdb has done the instruction by the time it tells of it.
    writer = gdb.selected_frame().pc() - 4
    gdb.execute(f"with print asm-demangle on -- x/i {writer:#x}")
    line = gdb.find_pc_line(writer)
    if line.symtab is not None:
        gdb.execute(f"list {line.symtab.filename}:{line.line},{line.line}")
    gdb.execute("frame")
    gdb.execute(f"output {expression}")
    print()


def watch(place, wanted):
    """Runs to where what is at `place` becomes what is wanted. Nothing else stops it."""
    address, size = place
    kind = {1: "char", 2: "short", 4: "int", 8: "long"}.get(size)
    what = f"*(unsigned {kind} *) {address:#x}" if kind else f"*(unsigned char (*)[{size}]) {address:#x}"
    others = [point for point in gdb.breakpoints() if point.enabled]
    before = {point.number for point in gdb.breakpoints()}
    gdb.execute(f"with language c -- watch {what}", to_string=True)
    (point,) = (point for point in gdb.breakpoints() if point.number not in before)
    point.silent = True
    stops = []
    note = stops.append
    gdb.events.stop.connect(note)
    try:
        for other in others:
            other.enabled = False
        for _ in range(HITS):
            stops.clear()
            gdb.execute("continue", to_string=True)
            hits = [hit.number for stop in stops for hit in getattr(stop, "breakpoints", [])]
            if point.number not in hits:
                raise Failed("it stopped for another reason, before that changed")
            if bytes_at(place) == wanted:
                return
        raise Failed(f"it changed {HITS} times, and never to what it became")
    finally:
        gdb.events.stop.disconnect(note)
        point.delete()
        for other in others:
            other.enabled = True


def show_diff(words):
    one, other = words
    ranges = ranges_of(answer(monitor(f"diff {one} {other}")))
    symbols = symbols_of(gdb.execute("maintenance print msymbols", to_string=True))
    physical = Translation(lambda address: monitor(f"translate {address:#x}"))
    for first, last in ranges:
        count = (last + 1 - first) // PAGE
        names = symbols_in(symbols, physical, first, last)
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        print(f"{first:#x} to {last:#x}, {count} {'page' if count == 1 else 'pages'}" + (f": {shown}" if names else ""))


def show_look(words):
    (snapshot,) = words
    answer(monitor(f"look {snapshot}"))
    flush()
    gdb.execute("frame")


def restore(words):
    (snapshot,) = words
    go(snapshot)
    gdb.execute("frame")


def core(words):
    snapshot, file = words
    source = "now.core" if snapshot == "now" else f"snapshot-{snapshot.lstrip('#')}.core"
    gdb.execute(f"remote get {source} {file}")


# Each with what it does, and how many words it takes: an expression has any number.
COMMANDS = {
    "tree": (show_tree, 0),
    "when": (show_when, None),
    "who": (show_who, None),
    "diff": (show_diff, 2),
    "look": (show_look, 1),
    "restore": (restore, 1),
    "core": (core, 2),
}


def usage(command):
    """The line of the text above that says what a command takes."""
    lines = (line.split("  ")[0] for line in __doc__.splitlines())
    return next(line for line in lines if line.startswith(f"avisor {command}"))


def run(line):
    words = line.split()
    command = words[0] if words else ""
    if command not in COMMANDS:
        raise Failed(f"allowed: {', '.join(COMMANDS)}; help avisor tells what they do")
    action, count = COMMANDS[command]
    given = len(words) - 1
    if given != count if count is not None else given == 0:
        raise Failed(f"it is: {usage(command)}")
    action(words[1:])


if gdb is not None:

    class Avisor(gdb.Command):
        def __init__(self):
            super().__init__("avisor", gdb.COMMAND_DATA)

        def invoke(self, line, from_tty):
            self.dont_repeat()
            try:
                run(line)
            except (Failed, gdb.error) as why:
                # gdb's own is about the expression, or the connection.
                raise gdb.GdbError(f"avisor: {why}") from None

        def complete(self, text, word):
            return [command for command in COMMANDS if command.startswith(text)]

    Avisor.__doc__ = __doc__
    Avisor()
