//! Markup and the Rust around it: what stands in braces.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use rstml::node::{Node, NodeBlock};
use rstml::{Parser, ParserConfig};
use syn::parse::{ParseStream, Parser as _};
use syn::{Error, Expr, Pat, Stmt, Token, braced, token};

use super::elements;

/// What stands in braces.
pub(super) enum Control {
    Value(TokenStream),
    If(Box<If>),
    Match { on: Box<Expr>, arms: Vec<Arm> },
    For { pat: Box<Pat>, items: Box<Expr>, body: TokenStream },
}

pub(super) struct If {
    pub(super) condition: Expr,
    pub(super) then: TokenStream,
    pub(super) otherwise: Option<Else>,
}

pub(super) enum Else {
    If(Box<If>),
    Body(TokenStream),
}

pub(super) struct Arm {
    pub(super) pat: Pat,
    pub(super) guard: Option<Expr>,
    pub(super) body: TokenStream,
}

/// Reads markup.
pub(super) fn nodes(input: TokenStream, errors: &mut Vec<Error>) -> Vec<Node> {
    let config = ParserConfig::new()
        .always_self_closed_elements(elements::VOID.iter().copied().collect())
        .raw_text_elements(["script", "style"].into());
    let (nodes, diagnostics) = Parser::new(config).parse_recoverable(kept(input)).split_vec();
    errors.extend(diagnostics.into_iter().map(Error::from));
    nodes
}

/// Markup whose `if`, `match` and `for` are the input of a macro, so that they are kept as they are: markup in them is no Rust.
fn kept(input: TokenStream) -> TokenStream {
    let mut is_value = false;
    let keep = |token| {
        let was_value = std::mem::replace(
            &mut is_value,
            matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '='),
        );
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && !was_value => {
                let tokens = group.stream();
                let keyword = tokens.clone().into_iter().next().map(|token| token.to_string());
                if !matches!(keyword.as_deref(), Some("if" | "match" | "for")) {
                    return TokenTree::Group(group);
                }
                let mut kept = Group::new(Delimiter::Brace, quote!(markup! { #tokens }));
                kept.set_span(group.span());
                TokenTree::Group(kept)
            }
            token => token,
        }
    };
    input.into_iter().map(keep).collect()
}

/// Reads what stands in braces.
pub(super) fn control(block: &NodeBlock) -> syn::Result<Control> {
    let NodeBlock::ValidBlock(block) = block else {
        return Err(Error::new_spanned(block, "this is no expression"));
    };
    match block.stmts.as_slice() {
        [] => Err(Error::new_spanned(block, "nothing to render: write a value, `if`, `match` or `for`")),
        [Stmt::Macro(markup)] if markup.mac.path.is_ident("markup") => {
            let parse = |input: ParseStream<'_>| {
                if input.peek(Token![if]) {
                    parse_if(input).map(|branches| Control::If(branches.into()))
                } else if input.peek(Token![match]) {
                    parse_match(input)
                } else {
                    parse_for(input)
                }
            };
            parse.parse2(markup.mac.tokens.clone())
        }
        [Stmt::Expr(value, None)] => Ok(Control::Value(value.to_token_stream())),
        _ => Ok(Control::Value(block.to_token_stream())),
    }
}

fn parse_if(input: ParseStream<'_>) -> syn::Result<If> {
    input.parse::<Token![if]>()?;
    let condition = Expr::parse_without_eager_brace(input)?;
    let then = body(input)?;
    let otherwise = if input.parse::<Option<Token![else]>>()?.is_none() {
        None
    } else if input.peek(Token![if]) {
        Some(Else::If(Box::new(parse_if(input)?)))
    } else {
        Some(Else::Body(body(input)?))
    };
    Ok(If { condition, then, otherwise })
}

fn parse_match(input: ParseStream<'_>) -> syn::Result<Control> {
    input.parse::<Token![match]>()?;
    let on = Expr::parse_without_eager_brace(input)?.into();
    let content;
    braced!(content in input);
    let mut arms = Vec::new();
    while !content.is_empty() {
        let pat = Pat::parse_multi_with_leading_vert(&content)?;
        let guard = match content.parse::<Option<Token![if]>>()? {
            Some(_) => Some(content.parse()?),
            None => None,
        };
        content.parse::<Token![=>]>()?;
        if !content.peek(token::Brace) {
            return Err(content.error("the body of an arm is markup in braces: `=> { <b>..</b> }`"));
        }
        let body = body(&content)?;
        content.parse::<Option<Token![,]>>()?;
        arms.push(Arm { pat, guard, body });
    }
    Ok(Control::Match { on, arms })
}

fn parse_for(input: ParseStream<'_>) -> syn::Result<Control> {
    input.parse::<Token![for]>()?;
    let pat = Pat::parse_multi_with_leading_vert(input)?.into();
    input.parse::<Token![in]>()?;
    let items = Expr::parse_without_eager_brace(input)?.into();
    Ok(Control::For { pat, items, body: body(input)? })
}

fn body(input: ParseStream<'_>) -> syn::Result<TokenStream> {
    let content;
    braced!(content in input);
    content.parse()
}
