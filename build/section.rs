//! The TOML under a configuration: sections whose keys are read one by one, and errors of one line each.

use toml::{Table, Value};

/// The TOML parser's own message, on one line.
pub fn syntax_error(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = text
        .bytes()
        .take(start)
        .filter(|&byte| byte == b'\n')
        .count()
        + 1;
    format!(
        "line {line}: {}",
        escaped(&error.message().replace('\n', " "))
    )
}

/// A table, with the path that leads to it for error messages.
pub struct Section<'a> {
    pub path: String,
    pub table: &'a Table,
}

impl<'a> Section<'a> {
    /// The full name of a key in this section, such as `vm[0].memory`.
    pub fn key(&self, name: &str) -> String {
        let name = escaped(name);
        if self.path.is_empty() {
            name
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Refuses keys that mean nothing here: most are misspelt.
    pub fn only(&self, known: &[&str]) -> Result<(), String> {
        match self
            .table
            .keys()
            .find(|name| !known.contains(&name.as_str()))
        {
            Some(name) => Err(format!(
                "{}: unknown key; allowed: {}",
                self.key(name),
                known.join(", ")
            )),
            None => Ok(()),
        }
    }

    /// What `convert` makes of a value, if the key is there; `allowed` is for the reader of the error.
    pub fn read<T>(
        &self,
        name: &str,
        allowed: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.table.get(name) else {
            return Ok(None);
        };
        match convert(value) {
            Some(result) => Ok(Some(result)),
            None => Err(format!(
                "{}: {} is not allowed; allowed: {allowed}",
                self.key(name),
                one_line(value)
            )),
        }
    }

    /// One of the words in `choices`; what stands beside it is returned.
    pub fn choice(
        &self,
        name: &str,
        choices: &[(&str, &'static str)],
    ) -> Result<Option<&'static str>, String> {
        let allowed: Vec<_> = choices
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        self.read(name, &allowed.join(", "), |value| {
            choices
                .iter()
                .find(|(word, _)| value.as_str() == Some(word))
                .map(|(_, meaning)| *meaning)
        })
    }

    /// The section `[name]` below this one; empty if it is not there.
    pub fn section(&self, name: &str) -> Result<Section<'a>, String> {
        static EMPTY: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::new);
        let table = self.read(name, "a section of its own", Value::as_table)?;
        Ok(Section {
            path: self.key(name),
            table: table.unwrap_or(&EMPTY),
        })
    }

    /// The sections `[[name]]` below this one.
    pub fn sections(&self, name: &str) -> Result<Vec<Section<'a>>, String> {
        let allowed = format!("[[{name}]] sections");
        let tables = self.read(name, &allowed, |value| {
            value.as_array()?.iter().map(Value::as_table).collect()
        })?;
        let tables: Vec<&Table> = tables.unwrap_or_default();
        let named = |(index, table)| Section {
            path: format!("{}[{index}]", self.key(name)),
            table,
        };
        Ok(tables.into_iter().enumerate().map(named).collect())
    }
}

/// A value as it stands in the file; just its type if that takes lines.
fn one_line(value: &Value) -> String {
    match value {
        Value::Table(_) | Value::Array(_) => format!("this {}", value.type_str()),
        _ => escaped(&value.to_string().replace('\n', " ")),
    }
}

/// Text on one line, whatever is in it.
pub fn escaped(text: &str) -> String {
    let shown = |c: char| match c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}
