//! Splits SDP into its session part and m-lines, each with its attributes and the numbers of their lines.

use super::OfferError;

/// Largest description that is read: the API's bound on a body.
pub(super) const MAX_BYTES: usize = 64 * 1024;
/// Most lines; Chromium's offers with video have some 150.
pub(super) const MAX_LINES: usize = 2_000;
/// Most m-lines.
pub(super) const MAX_SECTIONS: usize = 64;

/// `a=name:value`; `value` is empty for a flag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute<'a> {
    pub line: usize,
    pub name: &'a str,
    pub value: &'a str,
}

/// The session part, or one m-line and what belongs to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Part<'a> {
    /// Line of the m-line; 1 for the session part.
    pub line: usize,
    /// The m-line's text; empty for the session part.
    pub media: &'a str,
    pub attributes: Vec<Attribute<'a>>,
}

impl<'a> Part<'a> {
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = Attribute<'a>> + '_ {
        self.attributes
            .iter()
            .copied()
            .filter(move |attribute| attribute.name == name)
    }

    pub(super) fn first(&self, name: &'static str) -> Option<Attribute<'a>> {
        self.all(name).next()
    }

    pub(super) fn has(&self, name: &'static str) -> bool {
        self.first(name).is_some()
    }
}

/// The session part first, then the m-lines in order.
pub(super) fn split(text: &str) -> Result<Vec<Part<'_>>, OfferError> {
    if text.len() > MAX_BYTES {
        let message = format!("{} bytes of SDP, at most {MAX_BYTES} are read", text.len());
        return Err(OfferError::at(0, message));
    }
    let mut parts = vec![Part {
        line: 1,
        ..Part::default()
    }];
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if number > MAX_LINES {
            return Err(OfferError::at(number, format!("more than {MAX_LINES} lines")));
        }
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        let Some((kind, value)) = line.split_once('=').filter(|(kind, _)| kind.len() == 1) else {
            return Err(OfferError::at(number, "not SDP: a line is a letter, '=' and a value"));
        };
        match kind {
            "m" => {
                if parts.len() > MAX_SECTIONS {
                    return Err(OfferError::at(number, format!("more than {MAX_SECTIONS} m-lines")));
                }
                parts.push(Part {
                    line: number,
                    media: value,
                    attributes: Vec::new(),
                });
            }
            "a" => {
                let (name, value) = value.split_once(':').unwrap_or((value, ""));
                let attribute = Attribute {
                    line: number,
                    name: name.trim(),
                    value: value.trim(),
                };
                parts
                    .last_mut()
                    .into_iter()
                    .for_each(|part| part.attributes.push(attribute));
            }
            _ => {}
        }
    }
    Ok(parts)
}
