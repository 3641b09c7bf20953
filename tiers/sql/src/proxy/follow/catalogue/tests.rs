use pumasi_sqltext::{Catalogue as _, Relation};

use super::*;

fn rows(lines: &[&[&str]]) -> Vec<Row> {
    lines.iter().map(|line| line.iter().map(|value| (*value != "NULL").then(|| (*value).to_owned())).collect()).collect()
}

/// A shop: items of orders of people, a log that triggers write, a counter in MyISAM.
fn shop() -> Rows {
    Rows {
        tables: rows(&[
            &["shop", "person", "BASE TABLE", "InnoDB"],
            &["shop", "orders", "BASE TABLE", "InnoDB"],
            &["shop", "item", "BASE TABLE", "InnoDB"],
            &["shop", "log", "BASE TABLE", "InnoDB"],
            &["shop", "visits", "BASE TABLE", "MyISAM"],
            &["shop", "alone", "BASE TABLE", "InnoDB"],
            &["shop", "far", "BASE TABLE", "FEDERATED"],
            &["shop", "v_person", "VIEW", "NULL"],
            &["shop", "v_v", "VIEW", "NULL"],
            &["shop", "v_now", "VIEW", "NULL"],
            &["shop", "v_writes", "VIEW", "NULL"],
        ]),
        columns: rows(&[&["shop", "person", "id", "int"], &["shop", "person", "name", "varchar"], &["shop", "person", "born", "date"]]),
        views: rows(&[
            &["shop", "v_v", "select `v_person`.`id` AS `id` from `shop`.`v_person` join `shop`.`item`"],
            &["shop", "v_person", "select `shop`.`person`.`id` AS `id` from `shop`.`person`"],
            &["shop", "v_now", "select now() AS `n` from `shop`.`person`"],
            &["shop", "v_writes", "select `shop`.`count_up`() AS `n` from `shop`.`person`"],
        ]),
        triggers: rows(&[
            &["shop", "person", "BEGIN INSERT INTO log (what) VALUES (NEW.name); END"],
            &["shop", "log", "UPDATE `visits` SET n = n + 1"],
            &["shop", "alone", "SET NEW.price = (SELECT MAX(id) FROM item)"],
        ]),
        references: rows(&[
            &["shop", "orders", "shop", "person", "CASCADE", "CASCADE"],
            &["shop", "item", "shop", "orders", "RESTRICT", "SET NULL"],
            &["shop", "item", "shop", "alone", "RESTRICT", "NO ACTION"],
        ]),
        routines: rows(&[
            &["count_up", "BEGIN UPDATE visits SET n = n + 1; RETURN 1; END"],
            &["pure", "RETURN 1"],
            &["rebuild", "BEGIN DROP TABLE x; END"],
            &["hidden", "NULL"],
        ]),
        referenced: rows(&[&["shop", "person", "id"], &["shop", "orders", "id"]]),
        partial: false,
    }
}

fn table(name: &str) -> TableName {
    TableName { database: "shop".into(), name: name.into() }
}

fn known(names: &[&str]) -> Tables {
    Tables::of(names.iter().map(|name| Table::named("shop", name)))
}

#[track_caller]
fn check(written: &[&str], text: &str, tables: &[&str], at_once: &[&str]) {
    let catalogue = Catalogue::of(&shop());
    let written: Vec<TableName> = written.iter().map(|name| table(name)).collect();
    let closure = catalogue.closure(&written, text.as_bytes());
    assert_eq!(closure, Closure { tables: known(tables), at_once: known(at_once), schema: false }, "{written:?} {text}");
}

#[test]
fn a_write_reaches_what_triggers_and_foreign_keys_write_in_turn() {
    check(&["item"], "", &["item"], &[]);
    check(&["orders"], "", &["orders", "item"], &[]);
    check(&["person"], "", &["person", "log", "visits", "orders", "item"], &["visits"]);
    check(&["Person"], "", &["person", "log", "visits", "orders", "item"], &["visits"]);
    // Its trigger only reads, and the foreign key only forbids.
    check(&["alone"], "", &["alone"], &[]);
}

#[test]
fn a_function_writes_wherever_it_is_called() {
    check(&[], "SELECT pure()", &[], &[]);
    check(&[], "SELECT `count_up`()", &["visits"], &["visits"]);
    check(&[], "SELECT COUNT_UP ()", &["visits"], &["visits"]);
    check(&["item"], "INSERT INTO item VALUES (count_up())", &["item", "visits"], &["visits"]);
    check(&[], "SELECT * FROM v_writes", &["visits"], &["visits"]);
}

#[test]
fn what_is_not_understood_reaches_everything() {
    let catalogue = Catalogue::of(&shop());
    let everything = |written: &[TableName], text: &str| catalogue.closure(written, text.as_bytes()).tables == Tables::All;
    assert!(everything(&[table("far")], ""), "another server's table");
    assert!(everything(&[table("unheard_of")], ""));
    assert!(everything(&[], "CALL hidden()"), "a body that is not shown");
    assert!(everything(&[], "CALL rebuild()") && catalogue.closure(&[], b"CALL rebuild()").schema);
    let partial = Catalogue::of(&Rows { partial: true, ..shop() });
    assert_eq!(partial.closure(&[table("person")], b"").tables, Tables::All, "its trigger may write where we see nothing");
    assert_eq!(partial.closure(&[table("orders")], b"").tables, known(&["orders", "item"]));
}

#[test]
fn names_mean_what_the_server_means_by_them() {
    let catalogue = Catalogue::of(&shop());
    let seen = catalogue.seen_from(Some("shop"));
    let Relation::Table(info) = seen.relation(None, "PERSON") else { panic!() };
    assert_eq!(
        info.columns.iter().map(|column| column.comparison).collect::<Vec<_>>(),
        [Comparison::Integer, Comparison::Text, Comparison::Other]
    );
    assert_eq!(seen.relation(Some("shop"), "v_person"), Relation::View(vec![table("person")]));
    assert_eq!(seen.relation(None, "v_v"), Relation::View(vec![table("item"), table("person")]));
    for (name, relation) in
        [("v_now", Relation::Unknown), ("v_writes", Relation::Unknown), ("far", Relation::System), ("none", Relation::Unknown)]
    {
        assert_eq!(seen.relation(None, name), relation, "{name}");
    }
    assert_eq!(seen.relation(Some("MYSQL"), "user"), Relation::System);
    assert_eq!(catalogue.seen_from(None).relation(None, "person"), Relation::Unknown);
}
