//! The proxy in front of the machine's own mariadbd, with the client made of the codec. One server for all stories: starting one takes
//! longer than telling them. A file per subject.
mod answers;
mod ends;
mod logins;
mod meaning;
mod sharing;

use std::{net::Ipv4Addr, sync::mpsc, thread, time::Duration};

use pumasi_config::SqlPassword;
use pumasi_mysqlwire::{Capabilities, Command, ServerStatus, Value, auth::NATIVE};

use super::*;
use crate::front::tests::{
    PATIENCE,
    client::{self, Client, Reply},
    wait_for,
};
use pumasi_test_servers::MariaDb;

struct House {
    proxy: Proxy,
    listener: Listener,
}

impl House {
    /// A proxy of one core, so that clients meet at the same server connections.
    fn new(database: &MariaDb, connections_max: usize) -> House {
        House::with(database, connections_max, Options::default())
    }

    fn with(database: &MariaDb, connections_max: usize, options: Options) -> House {
        House::of(database, Vec::new(), connections_max, options)
    }

    fn of(database: &MariaDb, users: Vec<SqlUser>, connections_max: usize, options: Options) -> House {
        let target = Target::parse(&format!("mysql://app:secret@127.0.0.1:{}", database.port)).unwrap();
        let settings = Settings { name: "main".into(), engine: target.address(), connections_max, users };
        let proxy = Proxy::start(target, settings, options, 1).unwrap();
        let listener = proxy.listen((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
        House { proxy, listener }
    }

    fn client(&self) -> Client {
        self.client_with(client::PLAIN)
    }

    fn client_with(&self, capabilities: Capabilities) -> Client {
        Client::login_with(&self.listener, "app", "secret", capabilities, "mysql_native_password", Some("shop")).expect("a login")
    }

    fn pinned(&self) -> Vec<&'static str> {
        self.proxy.pins().into_iter().map(|(reason, _)| reason).collect()
    }
}

impl Drop for House {
    /// Closes what idle connections there are, which the next story may count.
    fn drop(&mut self) {
        self.proxy.stop(Duration::ZERO);
    }
}

type Story = (&'static str, fn(&MariaDb));

const STORIES: [Story; 37] = [
    ("logins_are_checked_here_and_at_the_server", logins::logins_are_checked_here_and_at_the_server),
    ("a_hash_opens_this_side_and_the_login_made_with_it_the_other", logins::a_hash_opens_this_side_and_the_login_made_with_it_the_other),
    ("servers_that_ask_for_ed25519_get_it", logins::servers_that_ask_for_ed25519_get_it),
    ("clients_may_prove_themselves_with_ed25519", logins::clients_may_prove_themselves_with_ed25519),
    ("reset_and_change_of_user_begin_anew", logins::reset_and_change_of_user_begin_anew),
    ("who_logs_in_after_a_change_of_globals_or_accounts_finds_it", logins::who_logs_in_after_a_change_of_globals_or_accounts_finds_it),
    ("everyday_statements_come_back_as_the_server_sent_them", answers::everyday_statements_come_back_as_the_server_sent_them),
    ("several_results_and_procedures", answers::several_results_and_procedures),
    ("large_rows_and_packets_go_both_ways", answers::large_rows_and_packets_go_both_ways),
    ("load_data_local_sends_the_clients_file", answers::load_data_local_sends_the_clients_file),
    (
        "a_result_with_rows_says_what_it_changed_whatever_the_client_knows",
        answers::a_result_with_rows_says_what_it_changed_whatever_the_client_knows,
    ),
    ("functions_that_look_back_are_right_after_multiplexing", answers::functions_that_look_back_are_right_after_multiplexing),
    ("an_id_that_the_statement_gave_is_not_last_insert_id", answers::an_id_that_the_statement_gave_is_not_last_insert_id),
    ("clients_share_connections_between_transactions", sharing::clients_share_connections_between_transactions),
    ("variables_and_database_follow_their_session", sharing::variables_and_database_follow_their_session),
    ("what_cannot_be_carried_pins", sharing::what_cannot_be_carried_pins),
    ("user_variables_set_to_literals_are_carried", sharing::user_variables_set_to_literals_are_carried),
    ("a_session_that_leaves_takes_its_traces_with_it", sharing::a_session_that_leaves_takes_its_traces_with_it),
    ("many_clients_share_few_connections", sharing::many_clients_share_few_connections),
    ("locks_and_isolation_stay_with_their_session", sharing::locks_and_isolation_stay_with_their_session),
    ("a_client_waits_for_a_connection_and_is_told_why_it_gets_none", sharing::a_client_waits_for_a_connection_and_is_told_why_it_gets_none),
    ("rules_refuse_and_hold_back", sharing::rules_refuse_and_hold_back),
    ("texts_are_read_as_their_session_means_them", meaning::texts_are_read_as_their_session_means_them),
    ("a_prepared_text_means_what_it_meant", meaning::a_prepared_text_means_what_it_meant),
    ("prepared_statements_run_on_any_connection", meaning::prepared_statements_run_on_any_connection),
    ("cursors_and_long_data_hold_their_connection", meaning::cursors_and_long_data_hold_their_connection),
    ("who_waits_for_a_limit_can_be_killed_and_can_leave", ends::who_waits_for_a_limit_can_be_killed_and_can_leave),
    ("kill_reaches_the_right_statement", ends::kill_reaches_the_right_statement),
    ("kill_works_when_the_server_grants_no_further_connection", ends::kill_works_when_the_server_grants_no_further_connection),
    ("a_connection_that_the_server_has_closed_is_not_used", ends::a_connection_that_the_server_has_closed_is_not_used),
    ("whom_the_configuration_does_not_name_the_server_judges", logins::whom_the_configuration_does_not_name_the_server_judges),
    (
        "a_public_key_opens_this_side_and_a_password_of_our_own_the_other",
        logins::a_public_key_opens_this_side_and_a_password_of_our_own_the_other,
    ),
    ("within_tls_any_account_can_be_learned", logins::within_tls_any_account_can_be_learned),
    ("kill_takes_the_servers_numbers_too", ends::kill_takes_the_servers_numbers_too),
    ("a_session_begins_with_the_default_of_the_moment", meaning::a_session_begins_with_the_default_of_the_moment),
    ("administrators_commands_reach_the_server", answers::administrators_commands_reach_the_server),
    ("stop_lets_statements_finish", ends::stop_lets_statements_finish),
];

#[test]
fn stories_in_front_of_a_real_server() {
    let database = MariaDb::with(&["--max-connections=100"]);
    database.run("CREATE DATABASE shop CHARACTER SET utf8mb4; CREATE DATABASE other");
    for user in ["app", "bob"] {
        database.run(&format!("CREATE USER {user}@'%' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO {user}@'%'"));
    }
    for (name, story) in STORIES {
        eprintln!("--- {name}");
        database.run("DROP TABLE IF EXISTS shop.t; CREATE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, a VARCHAR(100)) ENGINE=InnoDB");
        story(&database);
    }
    // Last, because the server does not come back.
    ends::the_end_of_the_server_is_an_error_not_a_short_result(database);
}
fn text(rows: &[&[&str]]) -> Vec<Vec<Option<String>>> {
    rows.iter().map(|row| row.iter().map(|value| Some((*value).to_owned())).collect()).collect()
}

fn one(client: &mut Client, sql: &str) -> String {
    client.query(sql).text_rows()[0][0].clone().unwrap_or_else(|| "NULL".into())
}

/// The server's number of the connection that a statement of the client's runs on.
fn connection_of(client: &mut Client) -> String {
    one(client, "SELECT @@pseudo_thread_id")
}
