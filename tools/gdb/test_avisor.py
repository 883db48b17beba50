"""Tests of what of avisor.py needs no gdb: `python3 tools/gdb/test_avisor.py`."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import avisor  # noqa: E402 (the folder is known only now)


class Answers(unittest.TestCase):
    def test_errors_are_raised(self):
        self.assertEqual(avisor.answer("a\nb\n"), ["a", "b"])
        self.assertEqual(avisor.answer(""), [])
        with self.assertRaisesRegex(avisor.Failed, "^there is none$"):
            avisor.answer("error: there is none\n")

    def test_snapshots(self):
        found = avisor.snapshots_of(["0 - 12 1.500000", "3 0 1 2.000001"])
        self.assertEqual(found, [avisor.Snapshot(0, None, 12, 1.5), avisor.Snapshot(3, 0, 1, 2.000001)])

    def test_changes_and_ranges(self):
        self.assertEqual(avisor.changes_of(["3 now", "0 1"]), [("3", "now"), ("0", "1")])
        self.assertEqual(avisor.ranges_of(["0x40003000 0x40004fff"]), [(0x40003000, 0x40004FFF)])


class Tree(unittest.TestCase):
    def drawn(self, *pairs):
        snapshots = [avisor.Snapshot(number, parent, 1, 0) for number, parent in pairs]
        return [re.sub(r"(#\d+)  [^(]*", r"\1 ", line).rstrip() for line in avisor.tree(snapshots)]

    def test_a_chain_and_branches(self):
        self.assertEqual(self.drawn((0, None), (1, 0), (2, 1)), ["#0", "#1", "#2"])
        self.assertEqual(
            self.drawn((0, None), (1, 0), (2, 1), (3, 1), (4, 0), (5, 4)),
            ["#0", "|- #1", "   |- #2", "   |- #3", "|- #4", "   #5"],
        )
        self.assertEqual(self.drawn((7, 3), (8, 7), (9, None)), ["#7 (gone)", "#8", "#9"])
        self.assertEqual(self.drawn(), [])

    def test_a_long_history(self):
        pairs = [(n, n - 1 if n else None) for n in range(20_000)]
        self.assertEqual(len(self.drawn(*pairs)), 20_000)


class Symbols(unittest.TestCase):
    TEXT = """
Object file /x/deep:  Objfile at 0x55, bfd at 0x55, 3 minsyms

[ 0] T 0x40080000 _start section .text
[ 1] b 0x40083008 deep::COUNTER section .bss  file deep.c
[ 2] D 0x40083000 CONSTANT section .data
[ 3] A 0x40084000 __stack_top
[10] B 0x40085ff8 LAST section .bss
"""

    def test_variables(self):
        found = avisor.symbols_of(self.TEXT)
        self.assertEqual([name for _, name in found], ["CONSTANT", "deep::COUNTER", "LAST"])

    def test_those_of_a_page(self):
        symbols = avisor.symbols_of(self.TEXT)
        inside = lambda first, last: avisor.symbols_in(symbols, lambda address: address + 0x1000, first, last)
        self.assertEqual(inside(0x40084000, 0x40084FFF), ["CONSTANT", "deep::COUNTER"])
        self.assertEqual(inside(0x40086000, 0x40086FFF), ["LAST"])
        self.assertEqual(inside(0x40087000, 0x40087FFF), [])
        self.assertEqual(avisor.symbols_in(symbols, lambda address: None, 0, 2**64), [])

    def test_one_that_reaches_into_the_page(self):
        symbols = [avisor.Symbol(0x1F00, "array"), avisor.Symbol(0x2100, "next")]
        self.assertEqual(avisor.symbols_in(symbols, lambda address: address, 0x2000, 0x20FF), ["array"])

    def test_translations_are_asked_for_once(self):
        asked = []

        def ask(address):
            asked.append(address)
            return f"{address + 0x1000:#x} {0x100:#x}\n" if address < 0x5000 else "error: nothing\n"

        physical = avisor.Translation(ask)
        self.assertEqual([physical(at) for at in (0x100, 0x180, 0x1FF, 0x200)], [0x1100, 0x1180, 0x11FF, 0x1200])
        self.assertEqual([physical(at) for at in (0x5008, 0x5FFF)], [None, None])
        self.assertEqual(asked, [0x100, 0x200, 0x5008])


class Commands(unittest.TestCase):
    def test_each_is_explained(self):
        for command in avisor.COMMANDS:
            self.assertTrue(avisor.usage(command).startswith(f"avisor {command}"))

    def test_what_makes_no_sense(self):
        for line, why in [
            ("", "^allowed: tree, when"),
            ("what", "^allowed: tree, when"),
            ("tree now", "^it is: avisor tree$"),
            ("when", "^it is: avisor when EXPRESSION$"),
            ("diff 1", "^it is: avisor diff A B$"),
            ("core 1", "^it is: avisor core N FILE$"),
        ]:
            with self.assertRaisesRegex(avisor.Failed, why):
                avisor.run(line)


if __name__ == "__main__":
    unittest.main()
