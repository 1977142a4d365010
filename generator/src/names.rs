// SPDX-License-Identifier: LGPL-2.1-or-later
//! How the names of the description are written in each language.

/// `lvm_pv` as `LvmPv`.
pub fn camel(name: &str) -> String {
    name.split('_').map(capitalized).collect()
}

/// With a capital letter in front.
pub fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().to_string() + chars.as_str())
}

/// A name as an identifier of Rust.
pub fn rust(name: &str) -> String {
    const KEYWORDS: &[&str] = &[
        "as", "async", "await", "box", "break", "const", "continue", "do", "dyn", "else", "enum",
        "extern", "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut",
        "pub", "ref", "return", "static", "struct", "trait", "try", "type", "unsafe", "use",
        "virtual", "where", "while", "yield",
    ];
    let name = name.to_ascii_lowercase();
    match KEYWORDS.contains(&name.as_str()) {
        true => format!("r#{name}"),
        false => name,
    }
}

/// A name as a command of guestfish.
pub fn dashed(name: &str) -> String {
    name.replace('_', "-")
}

/// POD markup as Markdown, for comments of Rust and docstrings: `C<x>` becomes `` `x` ``.
pub fn markdown(pod: &str) -> String {
    plain(pod, &|kind, text| match kind {
        'B' => format!("**{text}**"),
        'C' | 'F' => format!("`{text}`"),
        'I' => format!("*{text}*"),
        'L' => format!("`{}`", text.trim_start_matches('/')),
        _ => text.to_owned(),
    })
}

/// POD markup as the Markdown of a list's item, whose further lines begin with `indent`.
pub fn item(pod: &str, indent: &str) -> String {
    markdown(pod).trim().replace('\n', &format!("\n{indent}"))
}

/// POD markup as plain text.
pub fn text(pod: &str) -> String {
    plain(pod, &|kind, text| match kind {
        'L' => text.trim_start_matches('/').to_owned(),
        _ => text.to_owned(),
    })
}

/// Replaces every formatting code, innermost first.
fn plain(pod: &str, replace: &dyn Fn(char, &str) -> String) -> String {
    let mut out = String::new();
    let mut rest = pod;
    while let Some(open) = rest.find('<') {
        let (before, after) = rest.split_at(open);
        let code = before.chars().last().filter(|c| "BCEFILSXZ".contains(*c));
        let word_before = before.chars().rev().nth(1).is_some_and(char::is_alphanumeric);
        let Some(code) = code.filter(|code| *code == 'E' || !word_before) else {
            out.push_str(&rest[..=open]);
            rest = &rest[open + 1..];
            continue;
        };
        let doubled = after.starts_with("<< ");
        let body = if doubled { &after[3..] } else { &after[1..] };
        let close = if doubled { body.find(" >>") } else { closing(body) };
        let Some(close) = close else {
            out.push_str(&rest[..=open]);
            rest = &rest[open + 1..];
            continue;
        };
        out.push_str(&before[..before.len() - code.len_utf8()]);
        let inner = &body[..close];
        let replaced = match code {
            'E' => entity(inner),
            _ if doubled => replace(code, inner),
            _ => replace(code, &plain(inner, replace)),
        };
        out.push_str(&replaced);
        rest = &body[close + if doubled { 3 } else { 1 }..];
    }
    out + rest
}

fn closing(body: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut before = ' ';
    for (at, c) in body.char_indices() {
        match c {
            '<' if before.is_ascii_uppercase() => depth += 1,
            '>' if depth == 0 => return Some(at),
            '>' => depth -= 1,
            _ => {}
        }
        before = c;
    }
    None
}

fn entity(name: &str) -> String {
    match name {
        "lt" => "<".to_owned(),
        "gt" => ">".to_owned(),
        "verbar" => "|".to_owned(),
        "sol" => "/".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(camel("lvm_pv"), "LvmPv");
        assert_eq!(camel("blockdev_getsize64"), "BlockdevGetsize64");
        assert_eq!(rust("type"), "r#type");
        assert_eq!(dashed("part_to_dev"), "part-to-dev");
    }

    #[track_caller]
    fn check(pod: &str, expected: &str) {
        assert_eq!(markdown(pod), expected);
    }

    #[test]
    fn formatting_codes() {
        check("C<path> is B<not> a F</dev/sda>", "`path` is **not** a `/dev/sda`");
        check("see L</read_file>.", "see `read_file`.");
        check("I<B<both>>", "***both***");
        check("a < b, 1<2, C<< a->b >>", "a < b, 1<2, `a->b`");
        check("E<lt>tagE<gt>", "<tag>");
        check("B<unclosed", "B<unclosed");
    }
}
