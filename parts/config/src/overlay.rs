//! The environment and the flags, laid over the file's tree.

use crate::{
    declare::{Schema, Shape},
    nearest::nearest,
    problem::{Origin, Problem},
    tree::{Data, Entry, Node, join},
};

impl Node {
    /// Lays one value over the tree. `path` is given in the writer's spelling; names that exist are found without regard to case,
    /// because environment variables are upper case by custom.
    pub fn lay_over(&mut self, schema: &'static Schema, path: &[&str], text: &str, origin: &Origin) -> Result<(), Problem> {
        self.lay_over_shape(Shape::Table(schema), path, "", text, origin)
    }

    fn lay_over_shape(&mut self, shape: Shape, path: &[&str], done: &str, text: &str, origin: &Origin) -> Result<(), Problem> {
        let Some((first, rest)) = path.split_first() else {
            *self = Node { origin: origin.clone(), data: Data::Untyped(text.to_owned()) };
            return Ok(());
        };
        let problem = |what: String, remedy: String| Problem { origin: origin.clone(), key: done.to_owned(), what, remedy };
        if first.is_empty() {
            return Err(problem(
                "the name has an empty part".into(),
                "Separate the parts by two underscores: PUMASI__EDGE__LISTEN.".into(),
            ));
        }
        let (key, shape_below) = match shape {
            Shape::Table(schema) => match schema.keys.iter().find(|key| key.name.eq_ignore_ascii_case(first)) {
                Some(key) => (key.name.to_owned(), (key.shape)()),
                None => {
                    let near = nearest(first, schema.keys.iter().map(|key| key.name));
                    let remedy = near.map_or("See `pumasi config reference`.".to_owned(), |near| format!("Did you mean {:?}?", near));
                    return Err(problem(format!("unknown key {:?}", first.to_lowercase()), remedy));
                }
            },
            Shape::Named(schema) => (self.existing_name(first).unwrap_or_else(|| first.to_lowercase()), Shape::Table(schema)),
            // The names of environment variables of the application: taken as they are.
            Shape::Strings => ((*first).to_owned(), Shape::Leaf),
            Shape::List(schema) => {
                if !matches!(self.data, Data::Array(_)) {
                    self.data = Data::Array(vec![]);
                }
                let Data::Array(items) = &mut self.data else { unreachable!("made an array above") };
                let index: usize = first.parse().unwrap_or(usize::MAX);
                if index > items.len() {
                    let remedy = format!("Write a number from 0 to {}, where {} appends one.", items.len(), items.len());
                    return Err(problem(format!("{first:?} is not the number of an entry"), remedy));
                }
                if index == items.len() {
                    items.push(Node::empty_table(origin.clone()));
                }
                return items[index].lay_over_shape(Shape::Table(schema), rest, &join(done, first), text, origin);
            }
            Shape::Leaf => return Err(problem(format!("has no key {first:?} in it"), "It is a single value.".into())),
        };
        if !matches!(self.data, Data::Table(_)) {
            *self = Node::empty_table(origin.clone());
        }
        let Data::Table(entries) = &mut self.data else { unreachable!("made a table above") };
        let position = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
            entries.push(Entry { key: key.clone(), key_origin: origin.clone(), node: Node::empty_table(origin.clone()) });
            entries.len() - 1
        });
        entries[position].node.lay_over_shape(shape_below, rest, &join(done, &key), text, origin)
    }

    fn existing_name(&self, written: &str) -> Option<String> {
        let Data::Table(entries) = &self.data else { return None };
        let same = |name: &str| name.replace('-', "_").eq_ignore_ascii_case(&written.replace('-', "_"));
        entries.iter().map(|entry| &entry.key).find(|name| same(name)).cloned()
    }
}
