use std::io::BufRead;
fn main() {
    let d = sqlparser::dialect::MySqlDialect {};
    for line in std::io::stdin().lock().lines() {
        let l = line.unwrap();
        match sqlparser::parser::Parser::parse_sql(&d, &l) {
            Ok(s) => { if std::env::args().nth(1).is_some() { println!("{l}\n   {s:?}"); } else { println!("ok  {l}") } }
            Err(e) => println!("ERR {l}   -- {e}"),
        }
    }
}
