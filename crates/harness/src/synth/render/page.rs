//! A page under construction.

use super::Form;

/// Width at which the formatter breaks lines.
const WIDTH: usize = 100;

/// Writes lines in one form.
pub(super) struct Page {
    pub out: String,
    pub form: Form,
}

impl Page {
    pub(super) fn new(form: Form, capacity: usize) -> Self {
        Self { out: String::with_capacity(capacity), form }
    }

    /// Begins a line. The raw form has tabs as the site's templates left them, the formatted one two spaces a level.
    pub(super) fn indent(&mut self, raw: usize, level: usize) {
        let (unit, count) = match self.form {
            Form::Raw => ("\t", raw),
            Form::Formatted => ("  ", level),
        };
        for _ in 0..count {
            self.out.push_str(unit);
        }
    }

    /// A line that both forms write alike.
    pub(super) fn line(&mut self, raw: usize, level: usize, text: &str) {
        self.indent(raw, level);
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// An empty line; the raw form leaves tabs on it.
    pub(super) fn blank(&mut self, raw: usize) {
        if self.form == Form::Raw {
            self.indent(raw, 0);
        }
        self.out.push('\n');
    }

    /// `<td>TEXT</td>` and the like. The formatter breaks a long one into tag, text and tag, and long text into lines.
    pub(super) fn element(&mut self, raw: usize, level: usize, open: &str, text: &str, close: &str) {
        let long = level * 2 + open.len() + text.chars().count() + close.len() > WIDTH;
        if self.form == Form::Raw || !long {
            self.indent(raw, level);
            self.out.push_str(open);
            self.out.push_str(text);
            self.out.push_str(close);
            self.out.push('\n');
            return;
        }
        self.line(raw, level, open);
        self.words(level + 1, "", text, "");
        self.line(raw, level, close);
    }

    /// A cell with a link: `<td><a HREF><i ICON></i> TEXT</a></td>`. The formatter gives the link lines of its own, and a
    /// long one its brackets: `<a …`, `  ><i …></i> TEXT</a`, `>`.
    pub(super) fn link_cell(&mut self, raw: usize, level: usize, attributes: &str, icon: &str, text: &str) {
        if self.form == Form::Raw {
            self.line(raw, level, &format!("<td><a {attributes}><i class=\"{icon}\"></i> {text}</a></td>"));
            return;
        }
        self.line(raw, level, "<td>");
        let whole = format!("<a {attributes}><i class=\"{icon}\"></i> {text}</a>");
        if (level + 1) * 2 + whole.chars().count() <= WIDTH {
            self.line(raw, level + 1, &whole);
        } else {
            self.line(raw, level + 1, &format!("<a {attributes}"));
            self.words(level + 2, &format!("><i class=\"{icon}\"></i>"), text, "</a");
            self.line(raw, level + 1, ">");
        }
        self.line(raw, level, "</td>");
    }

    /// Text broken at its spaces, the first line after `before`, the last followed by `after`.
    fn words(&mut self, level: usize, before: &str, text: &str, after: &str) {
        let mut line = before.to_owned();
        for word in text.split(' ') {
            if !line.is_empty() && level * 2 + line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(0, level, &line);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        line.push_str(after);
        self.line(0, level, &line);
    }
}
