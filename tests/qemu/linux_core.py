"""What drgn finds in a core of Linux without any file of symbols: the kernel's own tables of them, by VMCOREINFO."""

import re
import sys

import drgn
from drgn.helpers.linux.kallsyms import load_vmlinux_kallsyms

core = drgn.Program()
core.set_core_dump(sys.argv[1])
assert core.flags & drgn.ProgramFlags.IS_LINUX_KERNEL, core.flags

text = core["VMCOREINFO"].string_().decode()
numbers = dict(re.findall(r"\((.*)\)=(\w+)$", text, re.M))
# By its virtual address: struct new_utsname has fields of 65 characters, the first and the third of which are these.
name = int(numbers["init_uts_ns"], 16) + int(numbers["uts_namespace.name"])
release = core.read_c_string(name + 2 * 65).decode()
assert text.startswith(f"OSRELEASE={release}\n"), release
print("a kernel:", core.read_c_string(name).decode())

core.register_symbol_finder("kallsyms", load_vmlinux_kallsyms(core), enable_index=0)
function = core.symbol("schedule")
print("a function:", core.symbol(function.address + 4).name)
