//! Tests of the last values of terminals, which are read once at a start without a state file.

use starlink_telemetry::simulator::Answer;

use super::*;
use crate::harness::{eventually, scripted_simulator};

/// A simulator with terminals that have stopped reporting before its start.
fn silent_simulator(terminals: usize) -> Simulator {
    Simulator::start(Options {
        inventory: Some(InventoryOptions {
            silent: terminals,
            ..InventoryOptions::default()
        }),
        ..Options::default()
    })
    .unwrap()
}

fn last_reports(scrape: &Body) -> usize {
    let reports = scrape.beginning("starlink_last_report_timestamp_seconds{");
    reports.len()
}

#[actix_rt::test]
async fn the_last_values_of_terminals_are_requested_once_in_chunks() {
    let world = World::start(silent_simulator(250), &[]).await;
    world
        .until("all are known", async |world| {
            last_reports(&world.scrape().await) == 250
        })
        .await;
    world.has_read().await;
    world.requests_again(Part::Terminals, 1).await;
    world.pass(Duration::from_secs(30)).await;
    let journal = world.simulator.journal();
    let chunk = |body: &str| {
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        body["userTerminalIds"].as_array().unwrap().len()
    };
    let requests = journal.management_of(Part::Telemetry);
    let chunks: Vec<_> = requests.map(|request| chunk(&request.body)).collect();
    assert_eq!(chunks, [100, 100, 50]);
}

#[actix_rt::test]
async fn last_values_without_permission_are_not_requested_again() {
    let simulator = silent_simulator(2);
    simulator.set_inventory_answer(Part::Telemetry, Some(Answer::forbidden()));
    let world = World::start(simulator, &[]).await;
    world.has_read().await;
    world.requests_again(Part::Terminals, 1).await;
    world.pass(Duration::from_secs(30)).await;
    assert_eq!(world.requests(Part::Telemetry), 1);
    assert_eq!(last_reports(&world.scrape().await), 0);
}

#[actix_rt::test]
async fn a_chunk_that_fails_is_requested_again_and_then_left_out() {
    // The first chunk is read at the second request; the second one fails as often as it is requested.
    let simulator = silent_simulator(250);
    for answer in [
        Answer::error(502, "broken"),
        Answer::ordinary(),
        Answer::html(),
        Answer::error(500, "broken"),
        Answer::text("{}"),
        Answer::closed(),
    ] {
        simulator.push_inventory_answer(Part::Telemetry, answer);
    }
    let world = World::start(simulator, &[]).await;
    world
        .until("the others are known", async |world| {
            last_reports(&world.scrape().await) == 150
        })
        .await;
    world.requests_again(Part::Terminals, 1).await;
    assert_eq!(world.requests(Part::Telemetry), 7);
    assert_eq!(last_reports(&world.scrape().await), 150);
}

#[actix_rt::test]
async fn values_that_cannot_be_read_and_terminals_that_were_not_requested_cost_only_themselves() {
    let simulator = silent_simulator(0);
    let ids = [0, 1, 2].map(|number| terminal(number, ""));
    simulator.set_inventory_entries(Part::Terminals, Some(ids.to_vec()));
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let values = |number: usize, cell: &str| {
        let id = format!("01000000-00000000-{number:08}");
        let at = "2026-11-24T07:13:20Z";
        format!(
            r#""{id}":{{"userTerminalId":"{id}","timestamp":"{at}","uptimeSeconds":7,"signalQuality":{cell}}}"#
        )
    };
    let terminals = [
        values(0, "1e999"),
        values(1, &deep),
        r#""01000000-00000000-00000002":{"timestamp":[]}"#.to_owned(),
        values(3, "1"),
    ];
    let terminals = terminals.join(",");
    let answer = format!(r#"{{"content":{{"userTerminals":{{{terminals}}}}}}}"#);
    simulator.set_inventory_answer(Part::Telemetry, Some(Answer::text(answer)));
    let world = World::start(simulator, &[]).await;
    world.has_read().await;
    world
        .until("last values", async |world| {
            last_reports(&world.scrape().await) == 2
        })
        .await;
    assert_eq!(world.requests(Part::Telemetry), 1);
}

#[actix_rt::test]
async fn a_process_that_has_a_state_file_requests_no_last_values() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state");
    let file = file.to_str().unwrap();
    let simulator = silent_simulator(2);
    let state = [ON, ("STATE_FILE", file)];
    let mut service = Service::start(&simulator, &state).await;
    eventually("the last values are known", || async {
        last_reports(&service.scrape().await) == 2
    })
    .await;
    service.ask_to_stop();
    service.ended().await;

    let world = World::start(simulator, &[("STATE_FILE", file)]).await;
    assert_eq!(last_reports(&world.scrape().await), 2, "from the file");
    world.has_read().await;
    assert_eq!(world.requests(Part::Telemetry), 1);
}

/// The last values of a terminal, in the shape of Starlink's answer.
const LAST_VALUES: &str = r#"{"content":{"userTerminals":{"01000000-00000000-00000007":{
    "userTerminalId":"01000000-00000000-00000007","timestamp":"2025-03-02T10:00:00.500+00:00",
    "downlinkThroughputMbps":0.25,"uplinkThroughputMbps":0.125,"popPingDropRateAvg":0,"popPingLatencyMsAvg":35,
    "obstructionPercentTime":0.01,"uptimeSeconds":7200,"signalQuality":1,"h3CellId":"85283473fffffff",
    "secondsUntilSoftwareUpdateRebootPossible":null,"runningSoftwareVersion":"2025.02.01.mr1","countryCode":"CH",
    "inTerritorialWaters":null,"alertPopChange":false,
    "ipAllocations":{"ipv4":["192.0.2.77"],"ipv6Ue":["2001:db8:7::/64"],"ipv6Cpe":[],"timestamp":"2025-03-02T10:00:00.500+00:00"}}},
    "routers":{}},"errors":[],"warnings":[],"information":[],"isValid":true}"#;

/// An answer of the stream with rows of this terminal that are a day older than its last values.
const OLDER_ROWS: &str = r#"{"data":{"values":[
    ["u",1740823200000000000,"ut01000000-00000000-00000007",88.5,null,"2025.02.02.mr2",[82]],
    ["i",1740823201000000000,"ip-ut01000000-00000000-00000007","ACC-7",["198.51.100.7"],[],[]]],
    "columnNamesByDeviceType":{
    "u":["DeviceType","UtcTimestampNs","DeviceId","DownlinkThroughput","H3CellId","RunningSoftwareVersion","ActiveAlerts"],
    "i":["DeviceType","UtcTimestampNs","DeviceId","AccountNumber","Ipv4","Ipv6Ue","Ipv6Cpe"]}},
    "metadata":{"enums":{"DeviceType":{"u":"UserTerminal","i":"IpAllocs"},
    "AlertsByDeviceType":{"u":{"82":"software_update_reboot_pending"}}}}}"#;

#[actix_rt::test]
async fn the_first_row_replaces_last_values_in_a_process_that_has_just_started() {
    let simulator = scripted_simulator();
    simulator.set_inventory_entries(Part::Terminals, Some(vec![terminal(7, "Seven")]));
    simulator.set_inventory_answer(Part::Telemetry, Some(Answer::text(LAST_VALUES)));
    let service = Service::start(&simulator, &[ON]).await;
    let of = |name: &str| {
        format!(
            r#"starlink_{name}{{device_type="UserTerminal",deviceID="ut01000000-00000000-00000007"}}"#
        )
    };
    service
        .shows(&of("last_report_timestamp_seconds"), 1_740_909_600.5)
        .await;
    let before = service.scrape().await;
    assert_eq!(before.value(&of("online")), None);
    assert_eq!(before.value(&of("Ipv4_numeric")), Some(3_221_226_061.0));

    simulator.push_body(OLDER_ROWS);
    service.shows(&of("online"), 1.0).await;
    let scrape = service.scrape().await;
    for (name, value) in [
        ("DownlinkThroughput", Some(88.5)),
        ("last_report_timestamp_seconds", Some(1_740_823_200.0)),
        ("Ipv4_numeric", Some(3_325_256_711.0)),
        ("Ipv6Ue_numeric", None),
        ("latitude", None),
        ("alert_active_software_update_reboot_pending", Some(1.0)),
    ] {
        assert_eq!(scrape.value(&of(name)), value, "{name}");
    }
}
