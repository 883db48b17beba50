//! What `monitor` understands, in gdb; `process plugin packet monitor` in lldb. One line for each thing, for people and for tools/gdb/avisor.py.

use alloc::format;
use alloc::string::String;

use super::Debugger;
use crate::history::Way;
use crate::machine::{Id, Machine, Refused};
use crate::vm::{RAM, Vm};

const HELP: &str = "\
vm [NAME]          the VM that is debugged; another one
phys on|off        addresses are physical ones
checkpoint         takes a snapshot
snapshots          all of them: id, the one it came from, pages of its own, seconds of the VM's time
restore N          goes to snapshot N (then: maintenance flush register-cache, or avisor restore N)
diff A B           pages that two snapshots, or one and now, have in different frames: first and last address
when ADDRESS BYTES between which snapshots these bytes changed, the newest change first
translate ADDRESS  the physical address, and how many bytes lie there in one piece
look N|now         memory and registers shown are those of snapshot N
history on|off|N   whether stops are kept, and how many
reset              resets the VM
";

/// Bytes of a page.
const PAGE: u64 = 4096;

type Out<'a> = &'a mut dyn FnMut(&str);

impl<M: Machine> Debugger<M> {
    /// Carries out a command, and says what there is to say.
    pub fn monitor(&mut self, line: &str, out: Out) {
        let mut words = line.split_ascii_whitespace();
        let command = words.next().unwrap_or("help");
        let first = words.next();
        let second = words.next();
        let done = match (command, first, second, words.next()) {
            ("help", None, None, None) => {
                out(HELP);
                Ok(())
            }
            ("vm", name, None, None) => self.change_vm(name, out),
            ("phys", Some(value), None, None) => self.phys(value, out),
            ("checkpoint", None, None, None) => self.checkpoint(out),
            ("snapshots", None, None, None) => self.vm().snapshots(out),
            ("restore", Some(id), None, None) => self.restore(id, out),
            ("diff", Some(one), Some(other), None) => self.vm().diff(one, other, out),
            ("when", Some(address), Some(bytes), None) => self.when(address, bytes, out),
            ("translate", Some(address), None, None) => self.translate(address, out),
            ("look", Some(id), None, None) => self.look(id, out),
            ("history", value, None, None) => self.history(value, out),
            ("reset", None, None, None) => self.reset(out),
            _ => Err(format!(
                "{line:?} makes no sense; monitor help tells what does"
            )),
        };
        if let Err(why) = done {
            out(&format!("error: {why}\n"));
        }
    }

    fn change_vm(&mut self, name: Option<&str>, out: Out) -> Result<(), String> {
        let Some(name) = name else {
            for (place, vm) in self.vms.iter().enumerate() {
                let sign = if place == self.seen { "*" } else { " " };
                let state = vm.machine.state();
                out(&format!("{sign} {} {state:?}\n", vm.name));
            }
            return Ok(());
        };
        let place = self.vms.iter().position(|vm| vm.name == name);
        let place = place.ok_or_else(|| format!("there is no VM {name:?}"))?;
        if place != self.seen {
            // The other one is left as a client leaves it.
            self.vm().detach();
            self.vm().is_free = true;
            self.seen = place;
            self.vm().is_free = false;
            self.vm().attach().map_err(text)?;
        }
        out(&format!("{name}\n"));
        Ok(())
    }

    fn phys(&mut self, value: &str, out: Out) -> Result<(), String> {
        self.vm().physical = switch(value)?;
        out(&format!("phys {value}\n"));
        Ok(())
    }

    fn checkpoint(&mut self, out: Out) -> Result<(), String> {
        let vm = self.vm();
        let way = match vm.history.here() {
            Some(_) => Way::None,
            None => Way::Run,
        };
        let id = vm.history.checkpoint(&mut vm.machine, way).map_err(text)?;
        out(&format!("{id}\n"));
        Ok(())
    }

    fn restore(&mut self, id: &str, out: Out) -> Result<(), String> {
        let id = number(id)?;
        let vm = self.vm();
        vm.restore(id).map_err(text)?;
        vm.current = vm.first_on();
        out(&format!("{id}\n"));
        Ok(())
    }

    fn when(&mut self, address: &str, bytes: &str, out: Out) -> Result<(), String> {
        let (address, bytes) = (value(address)?, value(bytes)?);
        let vm = self.vm();
        let changes = vm.changes(vm.current, address, bytes).map_err(text)?;
        let name = |id: Option<Id>| id.map_or("now".into(), |id| format!("{id}"));
        for change in changes {
            out(&format!("{} {}\n", name(change.older), name(change.newer)));
        }
        Ok(())
    }

    fn translate(&mut self, address: &str, out: Out) -> Result<(), String> {
        let address = value(address)?;
        let vm = self.vm();
        let found = vm.translate(vm.look, vm.current, address);
        let (at, bytes) = found.map_err(text)?;
        out(&format!("{at:#x} {bytes:#x}\n"));
        Ok(())
    }

    fn look(&mut self, id: &str, out: Out) -> Result<(), String> {
        let id = or_now(id)?;
        let vm = self.vm();
        if let Some(id) = id {
            vm.machine.info(id).map_err(text)?;
        }
        vm.look = id;
        out(&id.map_or("now\n".into(), |id| format!("{id}\n")));
        Ok(())
    }

    fn history(&mut self, value: Option<&str>, out: Out) -> Result<(), String> {
        let vm = self.vm();
        match value {
            None => {}
            Some(value) => match value.parse::<usize>() {
                Ok(0 | 1) => return Err("at least 2; monitor history off keeps none".into()),
                Ok(limit) => vm.history.set_limit(&mut vm.machine, limit),
                Err(_) => vm.history.is_on = switch(value)?,
            },
        }
        let (is_on, limit) = (vm.history.is_on, vm.history.limit());
        let on = if is_on { "on" } else { "off" };
        out(&format!("history {on}, {limit} stops\n"));
        Ok(())
    }

    fn reset(&mut self, out: Out) -> Result<(), String> {
        let vm = self.vm();
        vm.reset().map_err(text)?;
        vm.current = 0;
        out(&format!("{} was reset\n", vm.name));
        Ok(())
    }
}

impl<M: Machine> Vm<M> {
    /// All snapshots, one a line.
    fn snapshots(&self, out: Out) -> Result<(), String> {
        let mut from = 0;
        while let Ok(id) = self.machine.next(from) {
            let info = self.machine.info(id).map_err(text)?;
            let parent = info.parent.map_or("-".into(), |parent| format!("{parent}"));
            let pages = info.own_pages;
            let frequency = self.machine.frequency().max(1);
            let (seconds, rest) = (info.counter / frequency, info.counter % frequency);
            let millionths = u128::from(rest) * 1_000_000 / u128::from(frequency);
            out(&format!(
                "{id} {parent} {pages} {seconds}.{millionths:06}\n"
            ));
            from = id + 1;
        }
        Ok(())
    }

    /// Ranges of pages in which two snapshots differ.
    fn diff(&self, one: &str, other: &str, out: Out) -> Result<(), String> {
        let (one, other) = (or_now(one)?, or_now(other)?);
        let pages = self.machine.pages();
        let next = |from| self.machine.differs(one, other, from).map_err(text);
        let address = |page| RAM + page * PAGE;
        let mut page = next(0)?;
        while page < pages {
            let first = page;
            let mut last = page;
            page = next(page + 1)?;
            while page == last + 1 && page < pages {
                last = page;
                page = next(page + 1)?;
            }
            let (first, last) = (address(first), address(last) + PAGE - 1);
            out(&format!("{first:#x} {last:#x}\n"));
        }
        Ok(())
    }
}

fn text(why: Refused) -> String {
    format!("{why}")
}

fn number(word: &str) -> Result<Id, String> {
    let word = word.strip_prefix('#').unwrap_or(word);
    word.parse()
        .map_err(|_| format!("{word:?} is no snapshot's number"))
}

/// A number, decimal or hexadecimal.
fn value(word: &str) -> Result<u64, String> {
    let number = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => word.parse(),
    };
    number.map_err(|_| format!("{word:?} is no number"))
}

/// A snapshot's number, or `now`.
fn or_now(word: &str) -> Result<Option<Id>, String> {
    match word {
        "now" => Ok(None),
        word => number(word).map(Some),
    }
}

fn switch(word: &str) -> Result<bool, String> {
    match word {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{word:?}; allowed: on, off")),
    }
}
