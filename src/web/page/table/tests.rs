//! Tests of the table's links and texts.

use super::*;
use crate::view::{DataUse, ServiceLine};

const NONE: OptionalColumns = OptionalColumns {
    account: false,
    device_type: false,
    data_use: false,
};

const ALL: OptionalColumns = OptionalColumns {
    account: true,
    device_type: true,
    data_use: true,
};

fn device(id: &str) -> Device {
    Device {
        id: id.to_owned(),
        account: Some("ship-01".to_owned()),
        device_type: "UserTerminal".to_owned(),
        state: Some(DeviceState::Online),
        last_report_timestamp_seconds: Some(1000.0),
        silent_for_seconds: Some(12.3),
        downlink_mbps: Some(210.44),
        uplink_mbps: Some(0.0),
        latency_ms: Some(33.6),
        drop_rate: Some(0.0004),
        alerts: Some(Vec::new()),
        software: Some("2026.01.01\u{1b}".to_owned()),
        ..Device::default()
    }
}

fn listed(total: usize, page: usize, devices: usize) -> DevicePage {
    DevicePage {
        total,
        page,
        pages: total.div_ceil(50).max(1),
        per_page: 50,
        devices: vec![device("x"); devices],
    }
}

#[test]
fn a_row_is_rounded_and_printable() {
    let some = |text: &str| Some(text.to_owned());
    let mut full = device("ut-1");
    full.name = some("Aurora\u{7}");
    full.alerts = Some(["a", "b", "c", "d", "e"].map(ToOwned::to_owned).into());
    full.ipv4 = vec!["192.0.2.1".to_owned()];
    full.ipv6_cpe = vec!["2001:db8::/56".to_owned()];
    let asked = DeviceQuery::parse("state=online&sort=-id").unwrap();
    let row = Row::of(&full, &asked, 1012.3);
    assert_eq!(row.name, some("Aurora␇"));
    assert_eq!(row.age, some("12 s"));
    assert_eq!(row.key, "device?id=ut-1&type=UserTerminal");
    let link = "device?id=ut-1&type=UserTerminal&list=state%3Donline%26sort%3D-id";
    assert_eq!(row.link, link);
    // A long search is not repeated in each row.
    let long = DeviceQuery::parse(&format!("search={}", "ut".repeat(500))).unwrap();
    let row = Row::of(&full, &long, 1012.3);
    assert_eq!(row.link, row.key);
    assert_eq!(row.account, some("ship-01"));
    let numbers: Vec<_> = row
        .numbers
        .iter()
        .map(|cell| (cell.title, cell.value.as_deref().unwrap_or("–"), cell.unit))
        .collect();
    let expected = [
        ("Down", "210.4", "Mbit/s"),
        ("Up", "0.0", "Mbit/s"),
        ("Latency", "34", "ms"),
        ("Drop rate", "<0.1", "%"),
        ("Obstruction", "–", "%"),
    ];
    assert_eq!(numbers, expected);
    assert_eq!(
        (&*row.alerts.unwrap().concat(), row.more_alerts),
        ("abc", 2)
    );
    assert_eq!(row.software, some("2026.01.01␛"));
    assert_eq!(row.addresses, ["192.0.2.1", "2001:db8::/56"]);
    assert_eq!(row.more_addresses, 0);
}

#[test]
fn data_use_is_a_share_with_a_bar_or_bytes() {
    let query = DeviceQuery::default();
    let cell = |data_use| {
        let line = ServiceLine {
            number: "L1".to_owned(),
            data_use,
            ..ServiceLine::default()
        };
        let device = Device {
            service_line: Some(line),
            ..device("ut-1")
        };
        Row::of(&device, &query, 0.0).data_use
    };
    let of_limit = cell(Some(DataUse {
        limit_bytes: Some(1e12),
        limit_share: Some(0.85),
        ..DataUse::default()
    }));
    let of_limit = of_limit.unwrap();
    assert_eq!(of_limit.bar.map(|bar| bar.length), Some(85));
    assert_eq!(
        (&*of_limit.text, of_limit.limit.as_deref()),
        ("85 %", Some("1,000 GB"))
    );
    let unlimited = cell(Some(DataUse {
        total_bytes: Some(2.5e9),
        ..DataUse::default()
    }));
    assert_eq!(
        unlimited.map(|cell| (cell.bar, cell.text)),
        Some((None, "2.5 GB".to_owned()))
    );
    assert_eq!(cell(None), None);
    let row = Row::of(
        &Device {
            never_heard: true,
            ..Device::default()
        },
        &query,
        0.0,
    );
    assert_eq!(row.age, None);
}

#[test]
fn the_link_of_a_device_encodes_its_identifier() {
    for (id, expected) in [
        ("ut-1", "device?id=ut-1&type=UserTerminal"),
        ("..", "device?id=..&type=UserTerminal"),
        (
            "a&b=c#d e/",
            "device?id=a%26b%3Dc%23d+e%2F&type=UserTerminal",
        ),
        (
            "\"<\u{202e}\0",
            "device?id=%22%3C%E2%80%AE%00&type=UserTerminal",
        ),
    ] {
        assert_eq!(device_link(&device(id)), expected);
    }
}

#[test]
fn heads_sort_and_reverse_the_order() {
    for (asked, column, sorted, link) in [
        ("", 0, None, "./?sort=id#devices"),
        ("", 3, None, "./?sort=-downlink#devices"),
        ("sort=id", 0, Some("ascending"), "./?sort=-id#devices"),
        (
            "sort=-latency&page=3",
            5,
            Some("descending"),
            "./?sort=latency#devices",
        ),
        (
            "state=online&per_page=5&page=2",
            8,
            None,
            "./?state=online&sort=-alerts&per_page=5#devices",
        ),
    ] {
        let heads = heads(&DeviceQuery::parse(asked).unwrap(), NONE);
        assert_eq!(
            (heads[column].sorted, &*heads[column].link),
            (sorted, link),
            "{asked}"
        );
        let others = heads.iter().enumerate().filter(|(at, _)| *at != column);
        assert!(others.into_iter().all(|(_, head)| head.sorted.is_none()));
    }
}

#[test]
fn optional_columns_are_shown_and_offered_only_if_asked_for() {
    for (key, title) in [
        ("account", "Account"),
        ("type", "Type"),
        ("data_use", "Data use"),
    ] {
        let query = DeviceQuery::parse(&format!("sort={key}")).unwrap();
        let column = |optional| {
            let heads = heads(&query, optional);
            let orders = orders(&query, optional);
            let is_offered = orders.iter().any(|choice| choice.value == key);
            let head = heads.into_iter().find(|head| head.title == title);
            (head.map(|head| (head.link, head.sorted)), is_offered)
        };
        let head = (format!("./?sort=-{key}#devices"), Some("ascending"));
        assert_eq!(column(ALL), (Some(head), true));
        assert_eq!(column(NONE), (None, false));
    }
}

#[test]
fn the_form_offers_each_order_and_marks_the_current_one() {
    for (asked, chosen) in [
        ("", None),
        ("sort=id", Some(("id", "Device"))),
        ("sort=-id", Some(("-id", "Device, descending"))),
        ("sort=latency", Some(("latency", "Latency, ascending"))),
        ("sort=-group", Some(("-group", "Group, descending"))),
    ] {
        let choices = orders(&DeviceQuery::parse(asked).unwrap(), ALL);
        // In the order that is not the natural one, both are offered.
        let both = usize::from(chosen.is_some_and(|(_, title)| title.contains(',')));
        assert_eq!(choices.len(), SortKey::ALL.len() + both, "{asked}");
        let found = choices.iter().find(|choice| choice.is_chosen);
        let found = found.map(|choice| (&*choice.value, &*choice.title));
        assert_eq!(found, chosen, "{asked}");
        for choice in choices {
            let query = format!("sort={}", choice.value);
            assert!(DeviceQuery::parse(&query).is_ok(), "{query}");
        }
    }
}

#[test]
fn a_chosen_value_is_among_the_choices() {
    let titles_of = |chosen| {
        let choices = Choice::list(["a", "b"].into_iter(), chosen);
        let titles = choices.iter().map(|choice| {
            let mark = if choice.is_chosen { "*" } else { "" };
            format!("{}{mark}", choice.title)
        });
        titles.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(titles_of(None), "a b");
    assert_eq!(titles_of(Some("b")), "a b*");
    assert_eq!(titles_of(Some("c\n")), "a b c␊*");
}

#[test]
fn page_links_lead_to_existing_pages() {
    for (page, expected) in [
        (listed(0, 1, 0), [None, None, None, None]),
        (
            listed(120, 1, 50),
            [None, None, Some("page=2"), Some("page=3")],
        ),
        (
            listed(120, 2, 50),
            [Some(""), Some(""), Some("page=3"), Some("page=3")],
        ),
        (listed(120, 3, 20), [Some(""), Some("page=2"), None, None]),
        (listed(120, 9, 0), [Some(""), Some("page=3"), None, None]),
        (
            listed(120, usize::MAX, 0),
            [Some(""), Some("page=3"), None, None],
        ),
    ] {
        let query = DeviceQuery {
            page: page.page,
            ..DeviceQuery::default()
        };
        let links = paging(&page)
            .links(|number| page_link(&query, number))
            .into_iter()
            .map(|turn| turn.link);
        let address = |query: &str| match query {
            "" => "./#devices".to_owned(),
            query => format!("./?{query}#devices"),
        };
        let expected = expected.map(|query| query.map(address));
        assert_eq!(links.collect::<Vec<_>>(), expected, "{}", page.page);
    }
}

#[test]
fn the_caption_says_what_is_shown() {
    let caption = |page, asked| caption(&page, &DeviceQuery::parse(asked).unwrap());
    for (page, asked, expected) in [
        (listed(0, 1, 0), "", "0 devices"),
        (listed(1, 1, 1), "", "1 device"),
        (listed(25, 1, 25), "near=1,2", "25 devices, nearest first"),
        (listed(25, 1, 25), "near=1,2&sort=id", "25 devices"),
        (listed(1120, 2, 50), "page=2", "51 to 100 of 1,120 devices"),
        (
            listed(120, 9, 0),
            "page=9",
            "Page 9 does not exist (3 pages, 120 devices)",
        ),
        (
            listed(1, usize::MAX, 0),
            "",
            "Page 18,446,744,073,709,551,615 does not exist (1 page, 1 device)",
        ),
    ] {
        assert_eq!(caption(page, asked), expected);
    }
}
