//! Reads a crate from its root file on.

use std::path::{Path, PathBuf};

use proc_macro2::Ident;
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{Item, ItemMod, Visibility};

use super::visit::{Collector, attributes, is_test};
use super::{File, Module, Source};

/// Reads a crate; `text` gives the text of a file, if it is there.
///
/// # Errors
/// A file that is missing, or is no Rust.
pub(crate) fn read_crate(
    root: &Path,
    text: &dyn Fn(&Path) -> Option<String>,
) -> Result<Source, String> {
    let mut reader = Reader {
        source: Source::default(),
        text,
    };
    let folder = root.parent().unwrap_or(root).to_owned();
    reader.file(root, Module::default(), folder)?;
    Ok(reader.source)
}

struct Reader<'a> {
    source: Source,
    text: &'a dyn Fn(&Path) -> Option<String>,
}

impl Reader<'_> {
    /// Reads a file as a module; `folder` has the files of modules in it.
    fn file(&mut self, path: &Path, module: Module, folder: PathBuf) -> Result<usize, String> {
        let text = (self.text)(path).ok_or_else(|| format!("cannot read {}", path.display()))?;
        let parsed = syn::parse_file(&text).map_err(|error| {
            let line = error.span().start().line;
            format!("{}:{line}: {error}", path.display())
        })?;
        let file = self.source.files.len();
        self.source.files.push(File {
            path: path.to_owned(),
            lines: text.lines().count(),
            functions: Vec::new(),
        });
        let place = self.source.modules.len();
        self.source.modules.push(Module { file, ..module });
        self.items(place, &parsed.items, &folder)?;
        Ok(place)
    }

    fn items(&mut self, place: usize, items: &[Item], folder: &Path) -> Result<(), String> {
        let mut collector = Collector::default();
        let file = self.source.modules[place].file;
        for item in items {
            if is_test(attributes(item)) {
                let (start, end) = (item.span().start().line, item.span().end().line);
                let lines = &mut self.source.files[file].lines;
                *lines = lines.saturating_sub(end + 1 - start);
                continue;
            }
            if let Item::Mod(item) = item {
                self.module(place, item, folder)?;
                continue;
            }
            if let Some((name, public)) = definition(item) {
                let defined = &mut self.source.modules[place].defined;
                defined.insert(name.to_string(), public);
            }
            collector.visit_item(item);
        }
        let module = &mut self.source.modules[place];
        module.imports.extend(collector.imports);
        module.mentions.extend(collector.mentions);
        let functions = &mut self.source.files[file].functions;
        functions.extend(collector.functions);
        Ok(())
    }

    fn module(&mut self, parent: usize, item: &ItemMod, folder: &Path) -> Result<(), String> {
        let name = item.ident.to_string();
        let mut path = self.source.modules[parent].path.clone();
        path.push(name.clone());
        let file = self.source.modules[parent].file;
        let module = Module {
            path,
            file,
            parent: Some(parent),
            ..Module::default()
        };
        let inside = folder.join(&name);
        let place = match &item.content {
            Some((_, items)) => {
                let place = self.source.modules.len();
                self.source.modules.push(module);
                self.items(place, items, &inside)?;
                place
            }
            None => {
                let beside = folder.join(format!("{name}.rs"));
                let within = inside.join("mod.rs");
                let there = |path: &&PathBuf| (self.text)(path).is_some();
                let path = [&beside, &within].into_iter().find(there);
                let path = path.cloned().ok_or_else(|| {
                    format!(
                        "module `{name}` is neither {} nor {}",
                        beside.display(),
                        within.display()
                    )
                })?;
                self.file(&path, module, inside)?
            }
        };
        let parent = &mut self.source.modules[parent];
        if matches!(item.vis, Visibility::Public(_)) {
            parent.public_children.insert(name.clone());
        }
        parent.children.insert(name, place);
        Ok(())
    }
}

/// The name that an item defines, and whether it is public.
fn definition(item: &Item) -> Option<(&Ident, bool)> {
    let (name, visibility) = match item {
        Item::Const(item) => (&item.ident, &item.vis),
        Item::Enum(item) => (&item.ident, &item.vis),
        Item::Fn(item) => (&item.sig.ident, &item.vis),
        Item::Static(item) => (&item.ident, &item.vis),
        Item::Struct(item) => (&item.ident, &item.vis),
        Item::Trait(item) => (&item.ident, &item.vis),
        Item::TraitAlias(item) => (&item.ident, &item.vis),
        Item::Type(item) => (&item.ident, &item.vis),
        Item::Union(item) => (&item.ident, &item.vis),
        Item::Macro(item) => (item.ident.as_ref()?, &Visibility::Inherited),
        _ => return None,
    };
    Some((name, matches!(visibility, Visibility::Public(_))))
}
