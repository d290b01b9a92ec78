//! What is in an item: paths, functions, imports.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, FnArg, Signature, UseTree, Visibility};

use super::{Function, Import, Mention, Seen};

/// Whether these attributes say that something is compiled in tests only.
pub(super) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        path.is_ident("test")
            || path.is_ident("cfg")
                && attribute
                    .parse_args::<TokenStream>()
                    .is_ok_and(only_in_tests)
    })
}

/// Whether a `cfg` condition is `test` or `all(test, ...)`.
fn only_in_tests(condition: TokenStream) -> bool {
    let mut tokens = condition.into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Ident(name)), None) => name == "test",
        (Some(TokenTree::Ident(name)), Some(TokenTree::Group(group))) => {
            let mut inside = group.stream().into_iter();
            name == "all"
                && inside.any(|token| matches!(token, TokenTree::Ident(name) if name == "test"))
        }
        _ => false,
    }
}

/// Collects what is in items.
#[derive(Default)]
pub(super) struct Collector {
    pub(super) imports: Vec<Import>,
    pub(super) mentions: Vec<Mention>,
    pub(super) functions: Vec<Function>,
}

impl Collector {
    fn function(&mut self, signature: &Signature, block: Option<&Block>) {
        let line = signature.span().start().line;
        let end = block.map_or(signature.span().end(), |block| {
            block.brace_token.span.close().end()
        });
        let is_parameter = |argument: &&FnArg| matches!(argument, FnArg::Typed(_));
        self.functions.push(Function {
            name: signature.ident.to_string(),
            line,
            lines: end.line + 1 - line,
            parameters: signature.inputs.iter().filter(is_parameter).count(),
        });
    }

    /// The paths in a macro's arguments, which may be anything.
    fn tokens(&mut self, tokens: TokenStream) {
        for (path, line) in token_paths(tokens) {
            self.mentions.push(Mention { path, line });
        }
    }

    pub(super) fn use_item(&mut self, item: &syn::ItemUse) {
        if item.leading_colon.is_some() {
            return;
        }
        let seen = match &item.vis {
            Visibility::Inherited => Seen::Here,
            Visibility::Public(_) => Seen::World,
            Visibility::Restricted(_) => Seen::Crate,
        };
        flatten(&item.tree, &mut Vec::new(), seen, &mut self.imports);
    }
}

/// Every name of a tree of imports.
fn flatten(tree: &UseTree, before: &mut Vec<String>, seen: Seen, into: &mut Vec<Import>) {
    let mut push = |name: Option<String>, path: Vec<String>, all, line| {
        into.push(Import {
            name,
            path,
            all,
            line,
            seen,
        });
    };
    // `{self}` is the path before it.
    let ended = |before: &[String], last: &syn::Ident| {
        let mut path = before.to_vec();
        if last != "self" || path.is_empty() {
            path.push(last.to_string());
        }
        path
    };
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, seen, into);
            before.pop();
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, before, seen, into);
            }
        }
        UseTree::Name(name) => {
            let path = ended(before, &name.ident);
            push(path.last().cloned(), path, false, name.span().start().line);
        }
        UseTree::Rename(rename) => {
            let path = ended(before, &rename.ident);
            let name = (rename.rename != "_").then(|| rename.rename.to_string());
            push(name, path, false, rename.span().start().line);
        }
        UseTree::Glob(glob) => push(None, before.clone(), true, glob.span().start().line),
    }
}

/// Every `a::b::c` in tokens, with its line.
pub(crate) fn token_paths(tokens: TokenStream) -> Vec<(Vec<String>, usize)> {
    let mut found: Vec<(Vec<String>, usize)> = Vec::new();
    // Colons since the last name; whether a dot came before it.
    let (mut colons, mut dot, mut open) = (0, false, false);
    // `as` is followed by a new name.
    let mut renamed = false;
    for token in tokens {
        match token {
            TokenTree::Ident(name) if renamed || name == "as" => {
                renamed = !renamed;
                (colons, dot, open) = (0, false, false);
            }
            TokenTree::Ident(name) => {
                let line = name.span().start().line;
                match found.last_mut().filter(|_| open && colons == 2) {
                    Some((path, _)) => path.push(name.to_string()),
                    None if !dot && colons < 2 => {
                        found.push((vec![name.to_string()], line));
                        open = true;
                    }
                    None => open = false,
                }
                (colons, dot) = (0, false);
            }
            TokenTree::Punct(mark) => {
                match mark.as_char() {
                    ':' => colons += 1,
                    other => {
                        dot = other == '.';
                        (colons, open) = (0, false);
                    }
                }
                open &= colons > 0;
            }
            TokenTree::Group(group) => {
                // `a::{b, c}` in a macro that has imports in it.
                let before = found.last().cloned();
                let before = before.filter(|_| open && colons == 2);
                let inside = token_paths(group.stream());
                match before.filter(|_| group.delimiter() == Delimiter::Brace) {
                    Some((before, _)) => found.extend(inside.into_iter().map(|(path, line)| {
                        let path = before.iter().cloned().chain(path).collect();
                        (path, line)
                    })),
                    None => found.extend(inside),
                }
                (colons, dot, open) = (0, false, false);
            }
            TokenTree::Literal(_) => (colons, dot, open) = (0, false, false),
        }
    }
    found
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_item(item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, Some(&item.block));
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            self.function(&item.sig, Some(&item.block));
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if !is_test(&item.attrs) {
            self.function(&item.sig, item.default.as_ref());
            visit::visit_trait_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.mentions.push(Mention {
                path: path.segments.iter().map(|s| s.ident.to_string()).collect(),
                line: path.span().start().line,
            });
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast syn::Macro) {
        self.visit_path(&invoked.path);
        self.tokens(invoked.tokens.clone());
    }

    // `pub(crate)` and attributes import nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

/// The attributes of an item.
pub(super) fn attributes(item: &syn::Item) -> &[Attribute] {
    use syn::Item;
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
