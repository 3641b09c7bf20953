//! The manual and the sample file, written from the declarations.

use crate::{
    declare::{Given, Key, Schema, Shape},
    keys::File,
    tree::join,
};

/// A `pumasi.toml` in which every key is explained and commented out, with its default or an example.
pub fn sample() -> String {
    let mut out = String::from(
        "# Every key that Pumasi knows. A line that is commented out shows the default, or an example where there is none.\n\
         # The environment overrides the file: PUMASI__EDGE__LISTEN sets edge.listen (two underscores between the parts).\n",
    );
    sample_table(&mut out, "", File::SCHEMA);
    out
}

fn sample_table(out: &mut String, path: &str, schema: &'static Schema) {
    let (tables, leaves): (Vec<&Key>, Vec<&Key>) = schema.keys.iter().partition(|key| own_header(key));
    for key in leaves {
        out.push('\n');
        for line in key.doc {
            out.push_str(format!("#{}", line.trim_end()).trim_end());
            out.push('\n');
        }
        if let Shape::Table(schema) | Shape::List(schema) = (key.shape)()
            && !own_header(key)
        {
            for key in schema.keys {
                let given = given_in_words(key).trim_end_matches('.').to_owned();
                out.push_str(&format!("#   {}: {} ({given})\n", key.name, key.doc.join(" ").trim()));
            }
        }
        match key.given {
            Given::Default(value) => out.push_str(&format!("# {} = {value}\n", key.name)),
            Given::Unset { means, example } => out.push_str(&format!("# Not set: {means}.\n# {} = {example}\n", key.name)),
            Given::Required { example } => out.push_str(&format!("# Must be set.\n# {} = {example}\n", key.name)),
            Given::Table => unreachable!("tables have headers"),
        }
    }
    for key in tables {
        let below = join(path, key.name);
        let (header, schema) = match (key.shape)() {
            Shape::Table(schema) => (format!("[{below}]"), schema),
            Shape::List(schema) => (format!("[[{below}]]"), schema),
            Shape::Named(schema) => (format!("[{below}.NAME]"), schema),
            Shape::Leaf | Shape::Strings => unreachable!("partitioned above"),
        };
        out.push('\n');
        for line in key.doc {
            out.push_str(format!("#{}", line.trim_end()).trim_end());
            out.push('\n');
        }
        out.push_str(&format!("# {header}\n"));
        let below = header.trim_matches(['[', ']']).to_owned();
        sample_table(out, &below, schema);
    }
}

/// Whether the key is written as a table with a header of its own, rather than on one line.
fn own_header(key: &Key) -> bool {
    match (key.shape)() {
        Shape::Leaf | Shape::Strings => false,
        Shape::Named(_) => true,
        Shape::Table(_) => matches!(key.given, Given::Table),
        // `[[edge.route]]` by custom; lists whose example is a list on one line stay there.
        Shape::List(_) => matches!(key.given, Given::Unset { example: "[]", .. }),
    }
}

/// The manual's chapter: one table of keys per section.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Written by `pumasi config reference --markdown` from the doc comments in parts/config/src/keys.rs; a test keeps it current. -->\n\n\
         One file, `pumasi.toml`. A value comes from the command line, else from the environment, else from the file, else from its default;\n\
         `pumasi config show --origin` tells which. In the environment the parts of a key are joined by two underscores:\n\
         `PUMASI__EDGE__LISTEN=0.0.0.0:80`, `PUMASI__POOL__APP__WORKERS=4`, `PUMASI__EDGE__ROUTE__0__PAGES=standard`.\n\n\
         Sizes: `\"512MB\"` (powers of ten), `\"64KiB\"` (powers of two), or a number of bytes. Durations: `\"300ms\"`, `\"2s\"`, `\"1m30s\"`.\n\
         Rates: `\"1KiB/s\"`. Unknown keys are refused.\n",
    );
    markdown_table(&mut out, "", "The file itself", File::SCHEMA);
    out
}

fn markdown_table(out: &mut String, path: &str, title: &str, schema: &'static Schema) {
    let (tables, leaves): (Vec<&Key>, Vec<&Key>) =
        schema.keys.iter().partition(|key| !matches!((key.shape)(), Shape::Leaf | Shape::Strings));
    out.push_str(&format!("\n## {title}\n\n{}\n", paragraphs(schema.doc)));
    for key in leaves {
        out.push_str(&format!("\n### `{}`\n\n{}\n\n", join(path, key.name), paragraphs(key.doc)));
        out.push_str(&format!("Kind: {}. {}\n", key.kind, given_in_words(key)));
    }
    for key in tables {
        let below = join(path, key.name);
        let (path, title, schema) = match (key.shape)() {
            Shape::Table(schema) => (below.clone(), format!("`[{below}]`"), schema),
            Shape::List(schema) => (below.clone(), format!("`[[{below}]]`"), schema),
            Shape::Named(schema) => (format!("{below}.NAME"), format!("`[{below}.NAME]`"), schema),
            Shape::Leaf | Shape::Strings => unreachable!("partitioned above"),
        };
        markdown_table(out, &path, &title, schema);
        if let Given::Unset { means, example } = key.given
            && !own_header(key)
        {
            out.push_str(&format!("\nNot set: {means}. Example: `{} = {example}`.\n", key.name));
        }
    }
}

fn given_in_words(key: &Key) -> String {
    match key.given {
        Given::Default(value) => format!("Default: `{value}`."),
        Given::Unset { means, example } => format!("Not set: {means}. Example: `{example}`."),
        Given::Required { example } => format!("Must be set. Example: `{example}`."),
        Given::Table => String::new(),
    }
}

fn paragraphs(doc: &[&str]) -> String {
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n").trim().to_owned()
}
