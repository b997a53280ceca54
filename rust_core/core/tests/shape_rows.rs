//! Rows of levels in drawn forms, many in one list and one list after the other, against each row read by itself: what is
//! remembered of the rows before never shows.

mod shape_support;

use std::sync::LazyLock;

use outcrier_core::decimal;
use outcrier_core::event::{Body, Decoded, Level};
use outcrier_core::instrument::{InstrumentTable, Scale};
use outcrier_core::shape::{Decoder, Outcome};
use proptest::prelude::*;
use shape_support::{form, shapes};

/// Declarations of `forms.json`, read once.
static OKX_SHAPES: LazyLock<String> = LazyLock::new(|| declared("okx"));
static KRAKEN_SHAPES: LazyLock<String> = LazyLock::new(|| declared("kraken_v2"));
static DERIBIT_SHAPES: LazyLock<String> = LazyLock::new(|| declared("deribit"));
static COINBASE_SHAPES: LazyLock<String> = LazyLock::new(|| declared("coinbase"));

fn declared(name: &str) -> String {
    let all: serde_json::Value = serde_json::from_str(&shapes("forms.json")).unwrap();
    all[name].to_string()
}

const SCALE: Scale = Scale { price_exp: -6, qty_exp: -9 };

/// A number as venues print them, mostly, that the scale holds, and as none should.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        30 => "[1-9][0-9]{0,5}\\.[0-9]{1,6}",
        10 => "0\\.[0-9]{1,6}",
        10 => "[1-9][0-9]{0,9}",
        10 => "0",
        2 => "0[0-9]{1,3}(\\.[0-9]{1,6})?",
        1 => "[0-9]{0,18}\\.?[0-9]{0,18}",
        1 => "[0-9.eE+-]{0,6}",
    ]
}

/// What stands around the numbers of a row, with `{p}` and `{q}` in their places.
fn row(forms: &'static [&'static str]) -> impl Strategy<Value = String> {
    (0..forms.len(), number(), number())
        .prop_map(|(at, price, qty)| forms[at].replace("{p}", &price).replace("{q}", &qty))
}

/// Lists of rows that mostly have one form.
fn lists(
    usual: &'static [&'static str],
    odd: &'static [&'static str],
) -> impl Strategy<Value = Vec<Vec<String>>> {
    let rows = prop_oneof![20 => row(usual), 1 => row(odd)];
    prop::collection::vec(prop::collection::vec(rows, 1..6), 1..6)
}

/// Levels and decimals of a frame, or why there are none.
type Found = Result<(Vec<Level>, Vec<(u8, u8)>), Outcome>;

fn read(decoder: &mut Decoder, frame: &str) -> Found {
    let mut table = InstrumentTable::default();
    table.add(b"BTC-USDT", SCALE).unwrap();
    let mut out = Decoded::default();
    match decoder.decode(7, frame.as_bytes(), &table, &mut out) {
        Outcome::Handled => {
            let Body::Book { bids, asks, .. } = out.events[0].body else { panic!("no book") };
            let levels = [out.levels(bids), out.levels(asks)].concat();
            let decimals = out.extras.iter().map(|extra| (extra.price_decimals, extra.qty_decimals));
            Ok((levels, decimals.collect()))
        }
        other => Err(other),
    }
}

/// The same row by row, each by a decoder that has seen none before.
fn read_each(declared: &str, frame: impl Fn(&str) -> String, rows: &[String]) -> Found {
    let (mut levels, mut decimals) = (Vec::new(), Vec::new());
    for row in rows {
        let (level, decimal) = read(&mut Decoder::compile(declared).unwrap(), &frame(row))?;
        levels.extend(level);
        decimals.extend(decimal);
    }
    Ok((levels, decimals))
}

fn same(declared: &str, frame: impl Fn(&str) -> String, lists: &[Vec<String>]) -> Result<(), TestCaseError> {
    let mut decoder = Decoder::compile(declared).unwrap();
    for rows in lists {
        let text = frame(&rows.join(","));
        let (found, expected) = (read(&mut decoder, &text), read_each(declared, &frame, rows));
        match expected {
            Ok(expected) => prop_assert_eq!(found, Ok(expected), "{}", text),
            // Which of several faults is told, and whether a finer exponent is asked for first, is another matter.
            Err(_) => prop_assert!(found.is_err(), "{}", text),
        }
    }
    Ok(())
}

const OKX: &[&str] = &[r#"["{p}","{q}","0","1"]"#, r#"["{p}","{q}","0","3"]"#];
const OKX_ODD: &[&str] = &[
    r#"["{p}","{q}"]"#,
    r#"["{p}","{q}","0","12"]"#,
    r#"["{p}","{q}","0","1",[1]]"#,
    r#"["{p}","{q}","0","x]"]"#,
    r#"["{p}","{q}","0","\u0031"]"#,
    r#"["{p}","{q}","0","a much longer text than is kept of a row, to its end"]"#,
    r#"["{p}","{q}","0",1]"#,
    r#"[ "{p}" ,"{q}", "0","1"] "#,
    r#"["{p}",{q},"0","1"]"#,
    r#"[{p},"{q}","0","1"]"#,
    r#"["{p}","{q}","0","1""#,
    r#"["{p}","{q}","0","1"}"#,
    r#"["{p}"]"#,
    r#"{"p":"{p}"}"#,
];
const KRAKEN: &[&str] = &[r#"{"price":{p},"qty":{q}}"#];
const KRAKEN_ODD: &[&str] = &[
    r#"{"qty":{q},"price":{p}}"#,
    r#"{ "price": {p}, "qty": {q} }"#,
    r#"{"price":"{p}","qty":"{q}"}"#,
    r#"{"price":{p},"qty":{q},"price":{p}}"#,
    r#"{"price":{p},"qty":{q},"new":[{"price":1}]}"#,
    r#"{"price":{p},"qty":{q},"new":7}"#,
    r#"{"price":{p},"qty":null}"#,
    r#"{"price":true,"qty":{q}}"#,
    r#"{"price":{p}}"#,
    r#"{"price":{p},"qty":{q}"#,
    r#"{"price":{p},"qty":{q}]"#,
];

const DERIBIT: &[&str] = &[r#"["new",{p},{q}]"#, r#"["delete",{p},{q}]"#];
const DERIBIT_ODD: &[&str] = &[r#"["change",{p},{q}]"#, r#"["delete","{p}",{q}]"#, r#"["none",{p},{q}]"#];
const COINBASE: &[&str] = &[
    r#"{"side":"bid","event_time":"2026-04-07T14:30:01.456789Z","price_level":"{p}","new_quantity":"{q}"}"#,
    r#"{"side":"offer","event_time":"2026-04-07T14:30:01.456789Z","price_level":"{p}","new_quantity":"{q}"}"#,
];
const COINBASE_ODD: &[&str] = &[r#"{"price_level":"{p}","new_quantity":"{q}"}"#];

fn okx_frame(rows: &str) -> String {
    format!(
        r#"{{"arg":{{"channel":"books","instId":"BTC-USDT"}},"action":"update","data":[{{"asks":[{rows}],"bids":[],"ts":"1597026383085","checksum":0,"prevSeqId":1,"seqId":2}}]}}"#
    )
}

fn kraken_frame(rows: &str) -> String {
    format!(
        r#"{{"channel":"book","type":"update","data":[{{"symbol":"BTC-USDT","bids":[],"asks":[{rows}],"checksum":0,"timestamp":"2023-10-06T17:35:55.440295Z"}}]}}"#
    )
}

fn deribit_frame(rows: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"book.BTC-USDT.raw","data":{{"timestamp":1592820077252,"prev_change_id":4095205460,"instrument_name":"BTC-USDT","change_id":4095205461,"bids":[],"asks":[{rows}]}}}}}}"#
    )
}

fn coinbase_frame(rows: &str) -> String {
    format!(
        r#"{{"channel":"l2_data","client_id":"","timestamp":"2026-04-07T14:30:01.456789Z","sequence_num":1,"events":[{{"type":"update","product_id":"BTC-USDT","updates":[{rows}]}}]}}"#
    )
}

/// Where a price of 0 is no level, it is none among rows like others either.
#[test]
fn a_price_of_zero_is_left_out_among_rows_that_are_alike() {
    let mut declared: serde_json::Value = serde_json::from_str(&KRAKEN_SHAPES).unwrap();
    for shape in declared["shapes"].as_array_mut().unwrap() {
        if shape["body"]["type"] == "book" {
            shape["body"]["ignore_zero_price"] = true.into();
        }
    }
    let mut decoder = Decoder::compile(&declared.to_string()).unwrap();
    let rows = [r#"{"price":1.5,"qty":2}"#, r#"{"price":0.0,"qty":2}"#, r#"{"price":0,"qty":3}"#].join(",");
    let level = Level { price: 1_500_000, qty: 2_000_000_000 };
    for _ in 0..3 {
        assert_eq!(read(&mut decoder, &kraken_frame(&rows)).unwrap().0, [level], "{rows}");
    }
}

/// Rows that are nearly like the ones before, or stand nearly like them, and are no JSON, or no level.
#[test]
fn what_is_nearly_a_row_is_none() {
    let okx = [
        r#"["1.5";"2.5","0","1"]"#,
        r#"["1.5":"2.5","0","1"]"#,
        r#"["1.5"."2.5","0","1"]"#,
        r#"[15","25","0","1"]"#,
        r#"["1.5","2.5","0";"1"]"#,
        r#"["1.5","2.5","0","1";"#,
        r#"[ "1.5x,"2.5","0","1"]"#,
        r#"[ "1.5", "2.5x]"#,
        r#"[ 01.5,2.5]"#,
        r#"[ 1.5,02.5]"#,
    ];
    let kraken = [
        r#"{"price":1.5;"qty":2.5}"#,
        r#"{"price":1.5,"qty":2.5]"#,
        r#"{"price":01.5,"qty":2.5}"#,
        r#"{"price":1.5,"qty":02.5}"#,
        r#"{"price":00,"qty":2.5}"#,
        r#"{"price"1.5,"qty":2.5}"#,
    ];
    let deep = format!(r#"[ "1.5","2.5",{}{}]"#, "[".repeat(61), "]".repeat(61));
    let okx: Vec<&str> = okx.into_iter().chain([deep.as_str()]).collect();
    for (declared, frame, good, broken) in [
        (&*OKX_SHAPES, okx_frame as fn(&str) -> String, r#"["1.25","20","0","1"]"#, &okx[..]),
        (&*KRAKEN_SHAPES, kraken_frame, r#"{"price":1.25,"qty":20}"#, &kraken),
    ] {
        let is_read = |rows: &str| {
            let mut decoder = Decoder::compile(declared).unwrap();
            let usual = [good; 3].join(",");
            let before = read(&mut decoder, &frame(&usual)).is_ok();
            assert!(before, "{usual}");
            [read(&mut decoder, &frame(rows)), read(&mut Decoder::compile(declared).unwrap(), &frame(rows))]
                .map(|found| found.is_ok())
        };
        assert_eq!(is_read(&[good; 2].join(",")), [true; 2]);
        for rows in broken {
            for rows in
                [format!("{rows},{good}"), format!("{good},{rows}"), format!("{good},{good},{rows},{good}")]
            {
                assert_eq!(is_read(&rows), [false; 2], "{rows}");
            }
        }
        for between in [";", " ", "", ",,", ":", "]", "}"] {
            assert_eq!(is_read(&[good; 3].join(between)), [false; 2], "{between:?}");
        }
    }
}

proptest! {
    #[test]
    fn rows_of_texts_are_each_what_they_are_alone(lists in lists(OKX, OKX_ODD)) {
        same(&OKX_SHAPES, okx_frame, &lists)?;
    }

    #[test]
    fn rows_of_numbers_are_each_what_they_are_alone(lists in lists(KRAKEN, KRAKEN_ODD)) {
        same(&KRAKEN_SHAPES, kraken_frame, &lists)?;
    }

    #[test]
    fn rows_with_a_verb_are_each_what_they_are_alone(lists in lists(DERIBIT, DERIBIT_ODD)) {
        same(&DERIBIT_SHAPES, deribit_frame, &lists)?;
    }

    /// Levels of both sides in one list come bids first, so that they are compared in order.
    #[test]
    fn rows_with_a_side_are_each_what_they_are_alone(lists in lists(COINBASE, COINBASE_ODD)) {
        let in_order = |mut rows: Vec<String>| {
            rows.sort_by_key(|row| !row.contains("bid"));
            rows
        };
        same(&COINBASE_SHAPES, coinbase_frame, &lists.into_iter().map(in_order).collect::<Vec<_>>())?;
    }

    /// Against the exact numbers of the texts: what one row is by itself is right.
    #[test]
    fn a_row_is_its_numbers(price in number(), qty in number()) {
        let frame = okx_frame(&format!(r#"["{price}","{qty}","0","1"]"#));
        let numbers = (decimal::parse(price.as_bytes(), SCALE.price_exp), decimal::parse(qty.as_bytes(), SCALE.qty_exp));
        match (read(&mut Decoder::compile(&OKX_SHAPES).unwrap(), &frame), numbers) {
            (Ok((levels, _)), (Ok(price), Ok(qty))) => prop_assert_eq!(levels, [Level { price, qty }]),
            (Err(_), (Ok(_), Ok(qty))) => prop_assert!(qty < 0, "{}", frame),
            (found, _) => prop_assert!(found.is_err(), "{}", frame),
        }
    }
}

/// Exponents are guessed where the instrument stands behind its levels, by how the prices are printed; here two instruments
/// are printed alike and have other ones.
#[test]
fn instruments_that_are_printed_alike_have_their_own_exponents() {
    let mut table = InstrumentTable::default();
    table.add(b"XMR/USD", Scale { price_exp: -2, qty_exp: -8 }).unwrap();
    table.add(b"KSM/XBT", Scale { price_exp: -6, qty_exp: -8 }).unwrap();
    let (mut decoder, mut out) = (form("kraken_v1"), Decoded::default());
    let messages = [("XMR/USD", "354.15000000", 35_415), ("KSM/XBT", "0.00754500", 7_545)];
    for (symbol, price, mantissa) in messages.into_iter().cycle().take(12) {
        let frame = format!(
            r#"[992,{{"b":[["{price}","5.00000000","1618678133.365913"]],"c":"1"}},"book-10","{symbol}"]"#
        );
        assert_eq!(decoder.decode(7, frame.as_bytes(), &table, &mut out), Outcome::Handled, "{frame}");
        assert_eq!(out.levels, [Level { price: mantissa, qty: 500_000_000 }], "{frame}");
    }
}
