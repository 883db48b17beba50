//! Where VMs' UARTs lead: `uart` of the `[[vm]]` sections.

use super::Vm;
use super::section::Section;

/// The variant of `avisor::config::Uart`.
pub fn uart(section: &Section) -> Result<&'static str, String> {
    const UARTS: [(&str, &str); 2] = [("console", "Console"), ("second", "Second")];
    Ok(section.choice("uart", &UARTS)?.unwrap_or("Console"))
}

/// The board's second UART is one VM's alone.
pub fn check(vms: &[Vm]) -> Result<(), String> {
    let mut on_it = (0..vms.len()).filter(|&vm| vms[vm].uart == "Second");
    match (on_it.next(), on_it.next()) {
        (Some(first), Some(index)) => Err(format!(
            "vm[{index}].uart: vm[{first}] has the second UART; allowed: \"second\" for one VM"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, parse};

    /// A configuration of VMs with these for `uart`.
    fn config(uarts: &[&str]) -> Result<Config, String> {
        let names = "abc".chars();
        let vm =
            |(name, uart)| format!("[[vm]]\nname = \"{name}\"\nimage = \"b\"\nuart = {uart}\n");
        parse(&names.zip(uarts).map(vm).collect::<String>())
    }

    #[test]
    fn the_second_uart_is_one_vms() {
        let vms = config(&["\"console\"", "\"second\"", "\"console\""])
            .unwrap()
            .vms;
        let uarts: Vec<_> = vms.iter().map(|vm| vm.uart).collect();
        assert_eq!(uarts, ["Console", "Second", "Console"]);
        assert_eq!(
            config(&["\"second\"", "\"console\"", "\"second\""]).unwrap_err(),
            "vm[2].uart: vm[0] has the second UART; allowed: \"second\" for one VM"
        );
        for bad in ["\"first\"", "2"] {
            assert_eq!(
                config(&[bad]).unwrap_err(),
                format!("vm[0].uart: {bad} is not allowed; allowed: \"console\", \"second\"")
            );
        }
    }
}
