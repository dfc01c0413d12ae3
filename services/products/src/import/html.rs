//! HTML to plain text: descriptions are imported with tags and stored without.
//!
//! **Invariant:** the text contains no markup; a stray `<` is kept as a character.

/// Elements whose content is not rendered.
const UNSEEN: [&str; 2] = ["script", "style"];
/// Elements that begin or end a line, as a browser shows them: the blocks of HTML, and rows.
const LINES: [&str; 44] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "caption",
    "center",
    "dd",
    "details",
    "dialog",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "legend",
    "li",
    "main",
    "menu",
    "nav",
    "ol",
    "optgroup",
    "option",
    "p",
    "pre",
    "section",
    "select",
    "summary",
    "table",
    "tr",
    "ul",
];
/// Elements that stand beside one another in a line.
const CELLS: [&str; 3] = ["td", "th", "button"];

/// The text of an HTML fragment: without tags and comments, entities decoded,
/// white space as a browser would show it, without empty lines.
pub(super) fn text(html: &str) -> String {
    let mut rest = html;
    let mut text = String::with_capacity(html.len());
    while let Some(at) = rest.find('<') {
        append(&mut text, &rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let begins = |c: char| c.is_ascii_alphabetic() || c == '/' || c == '!' || c == '?';
        let end = tag_end(rest).filter(|_| rest[1..].starts_with(begins));
        let Some(end) = end else {
            // A literal character: "< 5 kg".
            append(&mut text, "<");
            rest = &rest[1..];
            continue;
        };
        let tag = &rest[1..end];
        rest = &rest[end + 1..];
        let closes = tag.starts_with('/');
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        if LINES.contains(&name.as_str()) {
            text.push('\n');
        } else if CELLS.contains(&name.as_str()) {
            text.push(' ');
        }
        if !closes && UNSEEN.contains(&name.as_str()) {
            rest = after_element(rest, &name);
        }
    }
    append(&mut text, rest);
    tidy(&text)
}

/// Appends text, with line ends as white space.
fn append(text: &mut String, html: &str) {
    let decoded = html_escape::decode_html_entities(html);
    text.extend(
        decoded
            .chars()
            .map(|c| if c.is_whitespace() { ' ' } else { c }),
    );
}

/// Where the tag at the beginning of `html` ends; `>` in quotes does not end it.
fn tag_end(html: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in html.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    // An unclosed quote is ignored.
    html.find('>')
}

fn after_element<'h>(html: &'h str, name: &str) -> &'h str {
    let end = format!("</{name}");
    let lower = html.to_ascii_lowercase();
    lower.find(&end).map_or("", |at| &html[at..])
}

fn tidy(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.join(" ")
    });
    let mut tidied = String::with_capacity(text.len());
    for line in lines.filter(|line| !line.is_empty()) {
        if !tidied.is_empty() {
            tidied.push('\n');
        }
        tidied += &line;
    }
    tidied
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn tags_are_removed_and_text_is_kept() {
        for (html, expected) in [
            ("", ""),
            ("plain, < 5 kg & light", "plain, < 5 kg & light"),
            (
                "<p>One</p>\n<p>Two &amp; a&nbsp;half</p>",
                "One\nTwo & a half",
            ),
            ("<ul><li>Oak</li><li>Brass</li></ul>", "Oak\nBrass"),
            ("a<br/>b<BR>c", "a\nb\nc"),
            ("<a title=\"x > y\">link</a> &eacute;&#8364;", "link é€"),
            (
                "<style>p { color: red }</style>seen<!-- not <b> -->.",
                "seen.",
            ),
            (
                "<table><tr><th>Size</th><th>Chest</th></tr><tr><td>S</td><td>92 cm</td></tr></table>",
                "Size Chest\nS 92 cm",
            ),
            (
                "<dl><dt>Colour</dt><dd>Red</dd></dl>A&nbsp;<b>bold</b>move<hr>End",
                "Colour\nRed\nA boldmove\nEnd",
            ),
            (
                "<select><option>One</option><option>Two</option></select><section>Care</section><section>Ship</section>",
                "One\nTwo\nCare\nShip",
            ),
            ("cut <b", "cut <b"),
            ("<script>never ends", ""),
        ] {
            assert_eq!(text(html), expected, "{html}");
        }
    }
}
