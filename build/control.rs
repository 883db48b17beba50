//! Which VMs control which: `controls` and `start` of the `[[vm]]` sections, checked together.

use toml::Value;

use super::Vm;
use super::section::Section;

/// What `controls` may be.
const ALLOWED: &str = "a list of other VMs' names, each once, such as [\"target\"]";

/// The names in `controls`, as they are written.
pub fn names(section: &Section) -> Result<Vec<String>, String> {
    let names = section.read("controls", ALLOWED, |value| {
        let names = value.as_array()?.iter().map(Value::as_str);
        names.map(|name| name.map(str::to_owned)).collect()
    })?;
    Ok(names.unwrap_or_default())
}

/// Makes numbers of the names, and checks that each VM has one controller at the most, that none controls one that controls it, be it by way of
/// others, and that only a VM with a controller waits for it.
pub fn resolve(vms: &mut [Vm], names: &[Vec<String>]) -> Result<(), String> {
    for (index, names) in names.iter().enumerate() {
        for name in names {
            let key = format!("vm[{index}].controls");
            let Some(target) = vms.iter().position(|vm| vm.name == *name) else {
                return Err(format!("{key}: {name:?} is no VM; allowed: {ALLOWED}"));
            };
            match vms[target].controlled_by {
                _ if target == index => {
                    return Err(format!("{key}: {name:?} is itself; allowed: {ALLOWED}"));
                }
                Some(first) if first == index => {
                    return Err(format!(
                        "{key}: {name:?} is there twice; allowed: {ALLOWED}"
                    ));
                }
                Some(first) => {
                    return Err(format!(
                        "{key}: {name:?} is controlled by vm[{first}]; allowed: one controller for each VM"
                    ));
                }
                None => {}
            }
            if controllers(vms, index).any(|above| above == target) {
                return Err(format!(
                    "{key}: {name:?} controls this one; allowed: VMs that do not, nor by way of others"
                ));
            }
            vms[target].controlled_by = Some(index);
            vms[index].controls.push(target);
        }
    }
    let waits = |vm: &Vm| vm.start == "Stopped" && vm.controlled_by.is_none();
    match vms.iter().position(waits) {
        Some(index) => Err(format!(
            "vm[{index}].start: nobody controls this VM, so that it would wait for ever; \
             allowed: \"stopped\" for a VM that is in another's `controls`"
        )),
        None => Ok(()),
    }
}

/// Who controls VM number `index`, who controls that one, and so on. There are no circles yet.
fn controllers(vms: &[Vm], index: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(vms[index].controlled_by, |&above| vms[above].controlled_by)
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, parse};

    /// A configuration of VMs with these names, each with these lines.
    fn config(vms: &[(&str, &str)]) -> Result<Config, String> {
        let vm = |(name, lines)| format!("[[vm]]\nname = \"{name}\"\nimage = \"b\"\n{lines}\n");
        parse(&vms.iter().copied().map(vm).collect::<String>())
    }

    const ALLOWED: &str = "allowed: a list of other VMs' names, each once, such as [\"target\"]";

    #[test]
    fn names_become_numbers_whatever_their_order() {
        let vms = config(&[
            ("low", "start = \"stopped\""),
            ("top", "controls = [\"side\", \"mid\"]"),
            ("mid", "controls = [\"low\"]"),
            ("side", "start = \"running\""),
        ])
        .unwrap()
        .vms;
        let controls: Vec<_> = vms.iter().map(|vm| vm.controls.as_slice()).collect();
        assert_eq!(controls, [&[][..], &[3, 2], &[0], &[]]);
        let controlled_by: Vec<_> = vms.iter().map(|vm| vm.controlled_by).collect();
        assert_eq!(controlled_by, [Some(2), None, Some(1), Some(1)]);
        let starts: Vec<_> = vms.iter().map(|vm| vm.start).collect();
        assert_eq!(starts, ["Stopped", "Running", "Running", "Running"]);
    }

    #[test]
    fn a_list_of_names_of_others() {
        for (bad, what) in [
            ("\"b\"", "\"b\" is not allowed"),
            ("[1]", "this array is not allowed"),
            ("[\"b\", \"c\"]", "\"c\" is no VM"),
            ("[\"a\"]", "\"a\" is itself"),
            ("[\"b\", \"b\"]", "\"b\" is there twice"),
        ] {
            let controls = format!("controls = {bad}");
            assert_eq!(
                config(&[("a", &controls), ("b", "")]).unwrap_err(),
                format!("vm[0].controls: {what}; {ALLOWED}")
            );
        }
    }

    #[test]
    fn one_controller_and_no_circle() {
        let controls_b = "controls = [\"b\"]";
        assert_eq!(
            config(&[("a", controls_b), ("b", ""), ("c", controls_b)]).unwrap_err(),
            "vm[2].controls: \"b\" is controlled by vm[0]; allowed: one controller for each VM"
        );
        let circle = "\"a\" controls this one; allowed: VMs that do not, nor by way of others";
        assert_eq!(
            config(&[("a", controls_b), ("b", "controls = [\"a\"]")]).unwrap_err(),
            format!("vm[1].controls: {circle}")
        );
        let of_three = [
            ("a", controls_b),
            ("b", "controls = [\"c\"]"),
            ("c", "controls = [\"a\"]"),
        ];
        assert_eq!(
            config(&of_three).unwrap_err(),
            format!("vm[2].controls: {circle}")
        );
    }

    #[test]
    fn who_waits_has_somebody_to_wait_for() {
        assert_eq!(
            config(&[("a", ""), ("b", "start = \"stopped\"")]).unwrap_err(),
            "vm[1].start: nobody controls this VM, so that it would wait for ever; \
             allowed: \"stopped\" for a VM that is in another's `controls`"
        );
        assert_eq!(
            config(&[("a", "start = \"paused\"")]).unwrap_err(),
            "vm[0].start: \"paused\" is not allowed; allowed: \"running\", \"stopped\""
        );
    }
}
