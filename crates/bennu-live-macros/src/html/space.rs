//! White space, which tokens do not have: it is read off where they stand.

use proc_macro2::{Delimiter, LineColumn, Span, TokenStream, TokenTree};

/// What is between two places: nothing, a space or a line break.
pub(super) fn between(end: LineColumn, start: LineColumn) -> &'static str {
    if end.line == start.line {
        if end.column < start.column { " " } else { "" }
    } else if end.line < start.line {
        "\n"
    } else {
        // They are not of one file: a macro put them next to each other.
        ""
    }
}

/// Where tokens begin and end.
pub(super) fn extent(tokens: TokenStream) -> Option<(LineColumn, LineColumn)> {
    let mut tokens = tokens.into_iter();
    let first = tokens.next()?;
    let last = tokens.last().unwrap_or_else(|| first.clone());
    Some((start(&first), end(&last)))
}

/// Text that was written without quotes, as it was written; runs of white space are one.
pub(super) fn text(tokens: TokenStream) -> String {
    let mut text = String::new();
    let mut before = None;
    write(tokens, &mut text, &mut before);
    text
}

fn write(tokens: TokenStream, text: &mut String, before: &mut Option<LineColumn>) {
    for token in tokens {
        let (open, close) = match &token {
            TokenTree::Group(group) => match group.delimiter() {
                Delimiter::Parenthesis => ("(", ")"),
                Delimiter::Bracket => ("[", "]"),
                Delimiter::Brace => ("{", "}"),
                Delimiter::None => ("", ""),
            },
            _ => ("", ""),
        };
        let mut put = |part: &str, span: Span| {
            if let Some(before) = *before {
                text.push_str(between(before, span.start()));
            }
            text.push_str(part);
            *before = Some(span.end());
        };
        match token {
            TokenTree::Group(group) => {
                put(open, group.span_open());
                let close_span = group.span_close();
                write(group.stream(), text, before);
                if let Some(before) = *before {
                    text.push_str(between(before, close_span.start()));
                }
                text.push_str(close);
                *before = Some(close_span.end());
            }
            token => put(&token.to_string(), token.span()),
        }
    }
}

fn start(token: &TokenTree) -> LineColumn {
    match token {
        TokenTree::Group(group) => group.span_open().start(),
        token => token.span().start(),
    }
}

fn end(token: &TokenTree) -> LineColumn {
    match token {
        TokenTree::Group(group) => group.span_close().end(),
        token => token.span().end(),
    }
}
