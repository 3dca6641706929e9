//! Tests of IP allocations: they are merged into their terminals.

use super::*;

#[test]
fn allocations_are_merged_into_their_terminal() {
    let mut world = World::new();
    let tally = world.rows(
        r#"["i",1,"ip-a",17,["192.0.2.1/24"],["2001:db8:1::/64","x",null,7],"::1"],["u",1000000000,"a"]"#,
    );
    assert_eq!(tally.cells.total(), 2);
    world.shows(&[
        r#"Ipv4_numeric{"a"} 3221225985"#,
        r#"Ipv6Ue_numeric{"a"} 3236962502705421"#,
        r#"Ipv6Cpe_numeric{"a"} 1"#,
        r#"last_report_timestamp_seconds{"a"} 1"#,
        r#"online{"a"} 1"#,
        r#"info{"a",accountnumber="17"} 1"#,
    ]);
    world.rows(r#"["i",2,"a","ACC",["192.0.2.3","-","192.0.2.1"],[],[]]"#);
    assert_eq!(
        world.lines()[..2],
        [
            r#"Ipv4_numeric_0{"a"} 3221225985"#,
            r#"Ipv4_numeric_1{"a"} 3221225987"#
        ]
    );
    world.rows(r#"["i",1,"ip-a","OLD",["192.0.2.9"]]"#);
    assert_eq!(
        world.lines().last().unwrap(),
        r#"info{"a",accountnumber="ACC"} 1"#
    );
    world.rows(r#"["i",3,"ip-a","ACC",[],[],[]]"#);
    world.shows(&[
        r#"last_report_timestamp_seconds{"a"} 1"#,
        r#"online{"a"} 1"#,
        r#"info{"a",accountnumber="ACC"} 1"#,
    ]);
}

#[test]
fn a_terminals_own_info_has_precedence() {
    let mut world = World::new();
    let columns = r#""u":["DeviceType","UtcTimestampNs","DeviceId","AccountNumber"],"i":["DeviceType","UtcTimestampNs","DeviceId","AccountNumber","Site"]"#;
    world.answer(&body(
        r#"["u",1,"a","OWN"],["i",1,"ip-a","ACC","s"]"#,
        columns,
    ));
    assert_eq!(
        world.lines().last().unwrap(),
        r#"info{"a",accountnumber="OWN",site="s"} 1"#
    );
    world.answer(&body(r#"["u",2,"a",null]"#, columns));
    assert_eq!(
        world.lines().last().unwrap(),
        r#"info{"a",accountnumber="ACC",site="s"} 1"#
    );
}

#[test]
fn an_allocation_without_a_terminal_is_kept_until_the_terminal_reports() {
    let mut world = World::new();
    world.rows(r#"["i",1,"ip-a","ACC",["192.0.2.1"],[],[]]"#);
    world.shows(&[]);
    world.listen(300).rows(r#"["u",1,"a"]"#);
    assert_eq!(world.lines()[0], r#"Ipv4_numeric{"a"} 3221225985"#);
}
