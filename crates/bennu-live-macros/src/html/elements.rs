//! The names of HTML, and what is nearest to one that is none of them.

use proc_macro2::Span;
use syn::Error;

/// Elements that have no end tag.
pub(super) const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
];

/// The elements of HTML, as its standard lists them.
const ELEMENTS: &[&str] = &[
    "a",
    "abbr",
    "address",
    "area",
    "article",
    "aside",
    "audio",
    "b",
    "base",
    "bdi",
    "bdo",
    "blockquote",
    "body",
    "br",
    "button",
    "canvas",
    "caption",
    "cite",
    "code",
    "col",
    "colgroup",
    "data",
    "datalist",
    "dd",
    "del",
    "details",
    "dfn",
    "dialog",
    "div",
    "dl",
    "dt",
    "em",
    "embed",
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
    "head",
    "header",
    "hgroup",
    "hr",
    "html",
    "i",
    "iframe",
    "img",
    "input",
    "ins",
    "kbd",
    "label",
    "legend",
    "li",
    "link",
    "main",
    "map",
    "mark",
    "menu",
    "meta",
    "meter",
    "nav",
    "noscript",
    "object",
    "ol",
    "optgroup",
    "option",
    "output",
    "p",
    "param",
    "picture",
    "pre",
    "progress",
    "q",
    "rp",
    "rt",
    "ruby",
    "s",
    "samp",
    "script",
    "search",
    "section",
    "select",
    "slot",
    "small",
    "source",
    "span",
    "strong",
    "style",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "template",
    "textarea",
    "tfoot",
    "th",
    "thead",
    "time",
    "title",
    "tr",
    "track",
    "u",
    "ul",
    "var",
    "video",
    "wbr",
];

/// The elements of SVG that pages draw with.
const DRAWING: &[&str] = &[
    "svg",
    "g",
    "path",
    "rect",
    "circle",
    "ellipse",
    "line",
    "polyline",
    "polygon",
    "text",
    "tspan",
    "textPath",
    "defs",
    "use",
    "symbol",
    "image",
    "marker",
    "mask",
    "pattern",
    "clipPath",
    "linearGradient",
    "radialGradient",
    "stop",
    "filter",
    "foreignObject",
    "desc",
    "animate",
    "animateTransform",
    "animateMotion",
    "set",
];

/// The attributes that the LiveView client looks at.
const BINDINGS: &[&str] = &[
    "phx-click",
    "phx-click-away",
    "phx-change",
    "phx-submit",
    "phx-blur",
    "phx-focus",
    "phx-window-blur",
    "phx-window-focus",
    "phx-keydown",
    "phx-keyup",
    "phx-window-keydown",
    "phx-window-keyup",
    "phx-key",
    "phx-target",
    "phx-debounce",
    "phx-throttle",
    "phx-hook",
    "phx-mounted",
    "phx-remove",
    "phx-connected",
    "phx-disconnected",
    "phx-update",
    "phx-viewport-top",
    "phx-viewport-bottom",
    "phx-viewport-overrun-target",
    "phx-disable-with",
    "phx-trigger-action",
    "phx-auto-recover",
    "phx-drop-target",
    "phx-progress",
    "phx-track-static",
    "phx-no-unused-field",
    "phx-patch-focused",
    "phx-no-format",
    "phx-ignore-missing-id",
    "phx-page-loading",
    "phx-feedback-for",
];

/// Attributes whose values a browser follows as an address.
const ADDRESSES: &[&str] = &[
    "href",
    "src",
    "action",
    "formaction",
    "poster",
    "cite",
    "data",
    "ping",
    "xlink:href",
    "manifest",
    "background",
];

/// Refuses an element that there is not. Names with a dash are custom elements, which anybody may define.
pub(super) fn check_element(name: &str, span: Span) -> Result<(), Error> {
    if name.contains('-') || ELEMENTS.contains(&name) || DRAWING.contains(&name) {
        return Ok(());
    }
    Err(unknown("element", name, ELEMENTS, span))
}

/// Refuses a binding that the client does not know, and attributes of a computed value that would be a program.
pub(super) fn check_attribute(name: &str, is_computed: bool, span: Span) -> Result<(), Error> {
    if name.starts_with("phx-") && !name.starts_with("phx-value-") && !BINDINGS.contains(&name) {
        return Err(unknown("binding", name, BINDINGS, span));
    }
    let is_program = (name.starts_with("on") && !name.contains('-')) || name == "srcdoc";
    if is_computed && is_program {
        let message = format!(
            "`{name}` is run as a program, into which values cannot be put safely: use `phx-click` or a hook"
        );
        return Err(Error::new(span, message));
    }
    Ok(())
}

pub(super) fn is_address(name: &str) -> bool {
    ADDRESSES.contains(&name)
}

fn unknown(what: &str, name: &str, known: &[&str], span: Span) -> Error {
    let nearest = known.iter().min_by_key(|other| distance(name, other));
    let hint = match nearest {
        Some(nearest) if distance(name, nearest) <= 2 => format!("; did you mean `{nearest}`?"),
        _ => String::new(),
    };
    Error::new(span, format!("there is no {what} `{name}`{hint}"))
}

/// How many characters must be added, taken away or replaced to make one name of the other (Levenshtein, 1965).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_told_with_the_nearest() {
        let error = |result: Result<(), Error>| result.unwrap_err().to_string();
        let span = Span::call_site();
        assert_eq!(
            error(check_element("buton", span)),
            "there is no element `buton`; did you mean `button`?"
        );
        assert_eq!(error(check_element("zzzzzz", span)), "there is no element `zzzzzz`");
        assert_eq!(
            error(check_attribute("phx-clik", false, span)),
            "there is no binding `phx-clik`; did you mean `phx-click`?"
        );
        assert!(check_element("my-element", span).is_ok());
        assert!(check_attribute("phx-value-id", true, span).is_ok());
        assert!(check_attribute("onclick", false, span).is_ok());
        assert!(check_attribute("onclick", true, span).is_err());
    }
}
