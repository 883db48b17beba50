"""Linux' tasks, out of an ELF core that Avisor wrote, without any file of debugging symbols:

    drgn --no-default-symbols -c x.core tools/drgn/linux.py [stacks]

With `stacks` it shows where each of them is in the kernel.

What drgn needs is in the kernel itself: its types as BTF (CONFIG_DEBUG_INFO_BTF), its functions as kallsyms, and where some of its variables are as
the symbols that it exports to modules. `load(prog)` gives drgn all of that, for scripts and sessions of one's own:

    drgn --no-default-symbols -c x.core
    >>> import sys; sys.path.insert(0, "tools/drgn"); import linux; linux.load(prog)
"""

import struct
import sys
from array import array

from drgn import FaultError, FindObjectFlags, Object, Qualifiers, TypeEnumerator, TypeKind, TypeMember, TypeParameter
from drgn.helpers.linux.kallsyms import load_vmlinux_kallsyms
from drgn.helpers.linux.list import list_for_each_entry

# How much of the kernel's image is searched, from _stext on.
IMAGE = 64 << 20
PAGE = 4096
# struct btf_header of version 1, with its length (Documentation/bpf/btf.rst).
BTF = b"\x9f\xeb\x01\x00\x18\x00\x00\x00"

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, PROTO, VAR, SECTION, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(1, 20)

# Words behind a type, and words for each of its members.
EXTRA = {INT: (1, 0), ARRAY: (3, 0), STRUCT: (0, 3), UNION: (0, 3), ENUM: (0, 2), PROTO: (0, 2), VAR: (1, 0), SECTION: (0, 3), DECL_TAG: (1, 0), ENUM64: (0, 3)}

KINDS = {
    TypeKind.STRUCT: (STRUCT,),
    TypeKind.UNION: (UNION,),
    TypeKind.ENUM: (ENUM, ENUM64),
    TypeKind.TYPEDEF: (TYPEDEF,),
    TypeKind.INT: (INT,),
    TypeKind.BOOL: (INT,),
    TypeKind.FLOAT: (FLOAT,),
}


class Types:
    """BTF, as drgn's types. Each is made when it is asked for."""

    def __init__(self, prog, data):
        self.prog = prog
        length, types, types_length, strings, strings_length = struct.unpack_from("<5I", data, 4)
        self.strings = data[length + strings : length + strings + strings_length]
        body = data[length + types : length + types + types_length]
        self.words = struct.unpack(f"<{len(body) // 4}I", body)
        # Where each type begins. Number 0 is void.
        self.places = [None]
        self.numbers = {}
        at = 0
        while at < len(self.words):
            name, info, _ = self.words[at : at + 3]
            kind, count = info >> 24 & 0x1F, info & 0xFFFF
            if name:
                self.numbers.setdefault((kind, name), len(self.places))
            self.places.append(at)
            fixed, each = EXTRA.get(kind, (0, 0))
            at += 3 + fixed + each * count
        self.made = {}
        self.constants = {}

    def string(self, at):
        return self.strings[at : self.strings.index(0, at)].decode()

    def named(self, at):
        return self.string(at) if at else None

    def find(self, prog, kinds, name, filename):
        """A finder of types for drgn."""
        if filename:
            return None
        at = self.string_place(name)
        for kind in kinds if at else ():
            for kind in KINDS.get(kind, ()):
                number = self.numbers.get((kind, at))
                if number is not None:
                    return self.type(number)
        return None

    def constant(self, name):
        """The value that an enumeration gives a name, as drgn's object; or None."""
        if not self.constants:
            for number, at in enumerate(self.places[1:], 1):
                info = self.words[at + 1]
                kind, count = info >> 24 & 0x1F, info & 0xFFFF
                if kind in (ENUM, ENUM64):
                    each = EXTRA[kind][1]
                    for n in range(count):
                        self.constants.setdefault(self.words[at + 3 + each * n], number)
        number = self.constants.get(self.string_place(name))
        if number is None:
            return None
        kind = self.type(number)
        return next(Object(self.prog, kind, value) for text, value in kind.enumerators if text == name)

    def string_place(self, name):
        """Where a name is among the strings: once, behind another's NUL."""
        return self.strings.find(b"\0" + name.encode() + b"\0") + 1

    def type(self, number):
        if number not in self.made:
            self.made[number] = self.make(number)
        return self.made[number]

    def make(self, number):
        prog = self.prog
        if number == 0:
            return prog.void_type()
        at = self.places[number]
        name, info, other = self.words[at : at + 3]
        kind, count, flag = info >> 24 & 0x1F, info & 0xFFFF, info >> 31
        rest = self.words[at + 3 :] if count == 0 else self.words[at + 3 : at + 3 + 3 * count]
        if kind == INT:
            encoding = rest[0] >> 24 & 0xF
            make = prog.bool_type if encoding & 4 else prog.int_type
            return make(self.string(name), other) if encoding & 4 else make(self.string(name), other, bool(encoding & 1))
        if kind == FLOAT:
            return prog.float_type(self.string(name), other)
        if kind == PTR:
            return prog.pointer_type(self.type(other))
        if kind == ARRAY:
            return prog.array_type(self.type(rest[0]), rest[2])
        if kind in (STRUCT, UNION):
            members = [self.member(rest[3 * n : 3 * n + 3], flag) for n in range(count)]
            make = prog.struct_type if kind == STRUCT else prog.union_type
            return make(self.named(name), other, members)
        if kind in (ENUM, ENUM64):
            return self.enum(name, kind, other, rest, count, flag)
        if kind == FWD:
            return prog.union_type(self.string(name)) if flag else prog.struct_type(self.string(name))
        if kind == TYPEDEF:
            return prog.typedef_type(self.string(name), self.type(other))
        if kind == PROTO:
            parameters = [(rest[2 * n], rest[2 * n + 1]) for n in range(count)]
            variadic = bool(parameters) and parameters[-1][1] == 0
            parameters = parameters[: len(parameters) - variadic]
            parameters = [TypeParameter(lambda number=number: self.type(number), self.named(name)) for name, number in parameters]
            return prog.function_type(self.type(other), parameters, variadic)
        qualifiers = {VOLATILE: Qualifiers.VOLATILE, CONST: Qualifiers.CONST, RESTRICT: Qualifiers.RESTRICT}
        inner = self.type(other)
        return inner.qualified(inner.qualifiers | qualifiers[kind]) if kind in qualifiers else inner

    def member(self, words, has_bits):
        name, number, offset = words
        bits = offset >> 24 if has_bits else 0
        offset = offset & 0xFFFFFF if has_bits else offset

        def made():
            kind = self.type(number)
            return Object(self.prog, kind, bit_field_size=bits) if bits else kind

        return TypeMember(made, self.named(name), offset)

    def enum(self, name, kind, size, rest, count, is_signed):
        words = 2 if kind == ENUM else 3
        found = []
        for n in range(count):
            member = rest[words * n : words * n + words]
            value, bits = (member[1], 32) if kind == ENUM else (member[1] | member[2] << 32, 64)
            if is_signed and value >> bits - 1:
                value -= 1 << bits
            found.append(TypeEnumerator(self.string(member[0]), value))
        base = self.prog.int_type("int" if is_signed else "unsigned int", size, bool(is_signed))
        return self.prog.enum_type(self.named(name), base, found)


class Image:
    """The kernel's image in memory, from _stext to where it has a gap: functions, and what never changes."""

    def __init__(self, prog, start):
        self.start = start
        pages = []
        for at in range(start, start + IMAGE, PAGE):
            try:
                pages.append(prog.read(at, PAGE))
            except FaultError:
                break
        self.data = b"".join(pages)

    def btf(self):
        """BTF, whose header says how long it is."""
        at = self.data.find(BTF)
        while at >= 0:
            types, types_length, strings, strings_length = struct.unpack_from("<4I", self.data, at + 8)
            end = at + 24 + strings + strings_length
            if types == 0 and strings == types_length and end <= len(self.data):
                return self.data[at:end]
            at = self.data.find(BTF, at + 1)
        raise LookupError("this kernel has no BTF")

    def exported(self, name):
        """Where a symbol is that modules may use. In struct kernel_symbol value and name are relative to themselves."""
        words = array("i", self.data)
        text = b"\0" + name.encode() + b"\0"
        at = self.data.find(text)
        while at >= 0:
            for place, word in enumerate(words):
                if 4 * place + word == at + 1:
                    # The value is the word before the name.
                    return self.start + 4 * (place - 1) + words[place - 1]
            at = self.data.find(text, at + 1)
        raise LookupError(f"this kernel does not export {name}")


# Variables, and what they are.
VARIABLES = {"init_task": "struct task_struct", "init_pid_ns": "struct pid_namespace"}


def load(prog):
    """Gives drgn the kernel's types, functions, and some of its variables."""
    prog.register_symbol_finder("kallsyms", load_vmlinux_kallsyms(prog), enable_index=0)
    image = Image(prog, prog.symbol("_stext").address)
    types = Types(prog, image.btf())
    prog.register_type_finder("btf", types.find, enable_index=0)
    known = {}

    def find(prog, name, flags, filename):
        if filename:
            return None
        if flags & FindObjectFlags.CONSTANT:
            constant = types.constant(name)
            if constant is not None:
                return constant
        if name not in VARIABLES or not flags & FindObjectFlags.VARIABLE:
            return None
        if name not in known:
            known[name] = image.exported(name)
        return Object(prog, VARIABLES[name], address=known[name])

    prog.register_object_finder("exported", find, enable_index=0)


def tasks(prog):
    """All processes: the idle one of the first CPU, and those that came from it."""
    first = prog["init_task"]
    yield first.address_of_()
    yield from list_for_each_entry("struct task_struct", first.tasks.address_of_(), "tasks")


if __name__ == "__main__":
    # drgn puts it there.
    load(prog)  # noqa: F821
    for task in tasks(prog):  # noqa: F821
        print(f"{task.pid.value_():6} {task.comm.string_().decode()}")
        if "stacks" in sys.argv[1:]:
            print(prog.stack_trace(task))  # noqa: F821
