//! Instructions, decoded once.

use super::super::worst::{Barrier, Cache, Domain, Instruction, Tlbi};
use std::boxed::Box;
use std::string::ToString;
use std::vec::Vec;

/// A general register: 0 to 30, [`ZERO`] or [`SP`].
pub(super) type Register = u8;
/// XZR.
pub(super) const ZERO: Register = 31;
/// SP.
pub(super) const SP: Register = 32;

/// The last operand of a calculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Register(Register),
    Immediate(u64),
}

/// What is calculated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calculation {
    Add,
    Sub,
    /// SUBS, CMP.
    Compare,
    And,
    Or,
    ShiftLeft,
}

/// When a branch is taken, or the first of two registers is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    Equal,
    NotEqual,
    /// Unsigned.
    Lower,
    HigherOrSame,
}

/// How a load or store comes to its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// `[base, #offset]`.
    Offset,
    /// `[base, #offset]!`: the base is moved before.
    Pre,
    /// `[base], #offset`: the base is moved after.
    Post,
}

/// What is loaded or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// A word, into a W register: loads only.
    Word,
    /// A doubleword.
    Double,
    /// 16 bytes of a Q register.
    Quad,
    /// 64 bytes of four Q registers in a row: LD1 and ST1.
    FourQuads,
}

/// A load or a store of one register or of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) is_store: bool,
    pub(super) size: Size,
    pub(super) first: Register,
    pub(super) second: Option<Register>,
    pub(super) base: Register,
    pub(super) offset: i32,
    pub(super) mode: Mode,
}

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Move(Register, Value),
    Calculate(Calculation, Register, Register, Value),
    /// UBFX: `width` bits from `low` on.
    Extract(Register, Register, u8, u8),
    /// BFI.
    Insert(Register, Register, u8, u8),
    Select(Register, Register, Register, Condition),
    Access(Access),
    Branch(Condition, usize),
    /// CBZ; with `true`, CBNZ.
    BranchIfZero(Register, bool, usize),
    Return,
    Read(Register, &'static str),
    Write(&'static str, Register),
    /// AT, by its operation's name.
    Translate(&'static str, Register),
    /// What is not by address.
    Perform(Instruction),
    Dc(Cache, Register),
    Ic(Register),
    /// DAIFSet: bits of DAIF, as MSR has them.
    Mask(u64),
    /// DAIFClr.
    Unmask(u64),
    /// What the machine knows nothing of.
    Nothing,
    /// It is not known here. Only running it is a mistake.
    Unknown,
}

impl Operation {
    /// Whether EL2 may take an exception from it, or behind it, of those that are expected.
    #[inline(always)]
    pub(super) fn may_end_in_an_exception(self) -> bool {
        match self {
            Self::Translate(..) | Self::Unmask(_) | Self::Perform(Instruction::Isb) => true,
            Self::Access(access) => access.size == Size::Word,
            _ => false,
        }
    }
}

/// Decodes an instruction; `None` if it is not known. `place` says where a label is.
pub(super) fn decode(
    mnemonic: &str,
    rest: &str,
    place: impl Fn(&str) -> Option<usize>,
) -> Option<Operation> {
    let operands = operands(rest);
    Some(match (mnemonic, &operands[..]) {
        ("isb", []) => Operation::Perform(Instruction::Isb),
        ("dsb", [option]) => {
            let (domain, barrier) = barrier(option)?;
            Operation::Perform(Instruction::Dsb(domain, barrier))
        }
        ("dmb", [option]) => match barrier(option)? {
            (Domain::Inner, barrier) => Operation::Perform(Instruction::Dmb(barrier)),
            _ => return None,
        },
        ("tlbi", [operation]) => Operation::Perform(tlbi(operation)?),
        ("ic", ["iallu"]) => Operation::Perform(Instruction::Ic(Domain::Core, None)),
        ("ic", ["ialluis"]) => Operation::Perform(Instruction::Ic(Domain::Inner, None)),
        ("ic", ["ivau", at]) => Operation::Ic(register(at)?),
        ("dc", [operation, at]) => Operation::Dc(cache(operation)?, register(at)?),
        ("at", [operation, va]) => Operation::Translate(forever(operation), register(va)?),
        ("mrs", [to, name]) => Operation::Read(register(to)?, forever(name)),
        ("msr", ["daifset", bits]) => Operation::Mask(immediate(bits)? << 6),
        ("msr", ["daifclr", bits]) => Operation::Unmask(immediate(bits)? << 6),
        ("msr", ["spsel", _]) => Operation::Nothing,
        ("msr", [name, from]) => Operation::Write(forever(name), register(from)?),
        ("mov", [to, from]) => Operation::Move(register(to)?, value(from)?),
        ("adrp", [to, symbol]) => {
            Operation::Move(register(to)?, Value::Immediate(number(symbol)? & !0xfff))
        }
        ("ldr", [to, literal]) if literal.starts_with('=') => {
            Operation::Move(register(to)?, Value::Immediate(number(&literal[1..])?))
        }
        ("cmp", [left, right]) => {
            Operation::Calculate(Calculation::Compare, ZERO, register(left)?, value(right)?)
        }
        ("ubfx", [to, from, low, width]) => {
            Operation::Extract(register(to)?, register(from)?, bits(low)?, bits(width)?)
        }
        ("bfi", [to, from, low, width]) => {
            Operation::Insert(register(to)?, register(from)?, bits(low)?, bits(width)?)
        }
        ("csel", [to, yes, no, when]) => Operation::Select(
            register(to)?,
            register(yes)?,
            register(no)?,
            condition(when)?,
        ),
        ("cbz" | "cbnz", [what, to]) => {
            Operation::BranchIfZero(register(what)?, mnemonic == "cbnz", place(to)?)
        }
        ("ret", []) => Operation::Return,
        ("b", [to]) => Operation::Branch(Condition::Always, place(to)?),
        ("ldr" | "str", [register, address @ ..]) => {
            Operation::Access(access(mnemonic, register, None, address)?)
        }
        ("ldp" | "stp", [first, second, address @ ..]) => {
            Operation::Access(access(mnemonic, first, Some(second), address)?)
        }
        ("ld1" | "st1", [registers, address @ ..]) => {
            let first = four(registers)?;
            let access = access(mnemonic, &std::format!("q{first}"), None, address)?;
            Operation::Access(Access {
                size: Size::FourQuads,
                ..access
            })
        }
        (_, [to]) if mnemonic.starts_with("b.") => {
            Operation::Branch(condition(&mnemonic[2..])?, place(to)?)
        }
        (_, [to, left, right]) => Operation::Calculate(
            calculation(mnemonic)?,
            register(to)?,
            register(left)?,
            value(right)?,
        ),
        _ => return None,
    })
}

/// What lies between commas outside of brackets.
fn operands(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|c| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|operand| !operand.is_empty())
    .collect()
}

/// A name of a register or an operation, in lower case. Texts are decoded once: it is never given back.
fn forever(name: &str) -> &'static str {
    Box::leak(name.to_lowercase().into_boxed_str())
}

fn numbered(name: &str, kind: char, last: u8) -> Option<Register> {
    let number: u8 = name.strip_prefix(kind)?.parse().ok()?;
    (number <= last && name.len() == 1 + number.to_string().len()).then_some(number)
}

/// The first of four registers, as `{v0.2d-v3.2d}`.
fn four(list: &str) -> Option<Register> {
    let (first, last) = list.strip_prefix('{')?.strip_suffix('}')?.split_once('-')?;
    let number = |name: &str| numbered(name.strip_suffix(".2d")?, 'v', 31);
    let first = number(first)?;
    (number(last)? == first + 3).then_some(first)
}

fn register(name: &str) -> Option<Register> {
    match name {
        "xzr" => Some(ZERO),
        "sp" => Some(SP),
        _ => numbered(name, 'x', 30),
    }
}

/// A number, `-` in front of one, or `(a << b)`.
fn number(text: &str) -> Option<u64> {
    if let Some(text) = text.strip_prefix('-') {
        return number(text).map(u64::wrapping_neg);
    }
    if let Some(text) = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
    {
        let (left, right) = text.split_once("<<")?;
        return Some(number(left.trim())? << number(right.trim())?);
    }
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn immediate(text: &str) -> Option<u64> {
    number(text.strip_prefix('#')?)
}

fn bits(text: &str) -> Option<u8> {
    immediate(text)?.try_into().ok()
}

fn value(text: &str) -> Option<Value> {
    if let Some(symbol) = text.strip_prefix(":lo12:") {
        return Some(Value::Immediate(number(symbol)? & 0xfff));
    }
    immediate(text)
        .map(Value::Immediate)
        .or_else(|| register(text).map(Value::Register))
}

fn calculation(mnemonic: &str) -> Option<Calculation> {
    Some(match mnemonic {
        "add" => Calculation::Add,
        "sub" => Calculation::Sub,
        "subs" => Calculation::Compare,
        "and" => Calculation::And,
        "orr" => Calculation::Or,
        "lsl" => Calculation::ShiftLeft,
        _ => return None,
    })
}

fn condition(name: &str) -> Option<Condition> {
    Some(match name {
        "eq" => Condition::Equal,
        "ne" => Condition::NotEqual,
        "lo" => Condition::Lower,
        "hs" => Condition::HigherOrSame,
        _ => return None,
    })
}

fn barrier(option: &str) -> Option<(Domain, Barrier)> {
    Some(match option {
        "sy" => (Domain::System, Barrier::All),
        "ish" => (Domain::Inner, Barrier::All),
        "ishst" => (Domain::Inner, Barrier::Stores),
        "ishld" => (Domain::Inner, Barrier::Loads),
        "nsh" => (Domain::Core, Barrier::All),
        _ => return None,
    })
}

fn tlbi(operation: &str) -> Option<Instruction> {
    let (domain, tlbi) = match operation {
        "alle2" => (Domain::Core, Tlbi::AllEl2),
        "alle1" => (Domain::Core, Tlbi::AllVms),
        "vmalle1" => (Domain::Core, Tlbi::Stage1),
        _ => return None,
    };
    Some(Instruction::Tlbi(domain, tlbi))
}

fn cache(operation: &str) -> Option<Cache> {
    Some(match operation {
        "civac" => Cache::CleanAndInvalidate,
        "ivac" => Cache::Invalidate,
        "zva" => Cache::Zero,
        _ => return None,
    })
}

/// A load or store, `address` being `[base]`, `[base, #offset]`, `[base, #offset]!` or `[base], #offset`.
fn access(mnemonic: &str, first: &str, second: Option<&str>, address: &[&str]) -> Option<Access> {
    let is_store = mnemonic.starts_with("st");
    let sized = |name: &str| {
        let word = || numbered(name, 'w', 30).map(|register| (Size::Word, register));
        let quad = || numbered(name, 'q', 31).map(|register| (Size::Quad, register));
        let double = register(name).map(|register| (Size::Double, register));
        double.or_else(word).or_else(quad)
    };
    let (size, first) = sized(first)?;
    let second = match second.map(sized) {
        None => None,
        Some(Some((other, second))) if other == size && size != Size::Word => Some(second),
        Some(_) => return None,
    };
    if is_store && size == Size::Word {
        return None;
    }
    let (address, after) = match address {
        [address] => (*address, None),
        [address, after] => (*address, Some(immediate(after)?)),
        _ => return None,
    };
    let (address, is_pre) = match address.strip_suffix('!') {
        Some(address) => (address, true),
        None => (address, false),
    };
    let inside = address.strip_prefix('[')?.strip_suffix(']')?;
    let (base, inside) = match inside.split_once(',') {
        Some((base, offset)) => (base, Some(immediate(offset.trim())?)),
        None => (inside, None),
    };
    let (mode, offset) = match (after, inside) {
        (Some(after), None) => (Mode::Post, after),
        (Some(_), Some(_)) => return None,
        (None, _) if is_pre => (Mode::Pre, inside?),
        (None, _) => (Mode::Offset, inside.unwrap_or(0)),
    };
    Some(Access {
        is_store,
        size,
        first,
        second,
        base: register(base)?,
        offset: i32::try_from(offset as i64).ok()?,
        mode,
    })
}
