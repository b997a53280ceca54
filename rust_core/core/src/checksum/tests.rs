//! Checksums against the vectors of the venues, and against texts that are written anew each time.

use proptest::prelude::*;

use super::*;
use crate::event::{LevelExtra, Side};

fn written(write: impl FnOnce(&mut Text<'_>)) -> String {
    let mut buffer = Vec::new();
    let mut text = Text::new(&mut buffer);
    write(&mut text);
    String::from_utf8(text.written().to_vec()).unwrap()
}

fn plain(mantissa: i64, exp: i8, decimals: u8) -> String {
    written(|text| text.plain(Number { mantissa, exp, decimals }))
}

#[test]
fn numbers_are_written_as_they_were_printed() {
    assert_eq!(plain(15, -1, 3), "1.500");
    assert_eq!(plain(1_500_000, -6, 1), "1.5");
    assert_eq!(plain(-5, -2, 2), "-0.05");
    assert_eq!(plain(0, -8, 4), "0.0000");
    assert_eq!(plain(0, -8, 0), "0");
    assert_eq!(plain(12, 2, 0), "1200");
    assert_eq!(plain(12, 2, 1), "1200.0");
    assert_eq!(plain(i64::MAX, -18, 18), "9.223372036854775807");
    assert_eq!(plain(-i64::MAX, -18, 18), "-9.223372036854775807");
    assert_eq!(plain(-5, -1, 24), "-0.500000000000000000000000");
    assert_eq!(plain(i64::MAX, 0, 19), "9223372036854775807.0000000000000000000");
    assert_eq!(plain(5, -1, 200), format!("0.5{}", "0".repeat(199)));
    let long = Number { mantissa: 5, exp: -1, decimals: 200 };
    assert_eq!(written(|text| text.digits(long)), format!("5{}", "0".repeat(199)));
    let many = written(|text| (0..200).for_each(|_| text.plain(long)));
    assert_eq!(many, format!("0.5{}", "0".repeat(199)).repeat(200));
}

proptest! {
    #[test]
    fn a_plain_number_comes_back_as_its_text(
        whole in 0_u32..1_000_000, fraction in "[0-9]{0,9}", finer in 0_i8..4,
    ) {
        let text = if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") };
        let decimals = u8::try_from(fraction.len()).unwrap();
        let needed = decimal::parse_natural(text.as_bytes()).unwrap().1;
        let exp = needed - finer;
        let mantissa = decimal::parse(text.as_bytes(), exp).unwrap();
        prop_assert_eq!(plain(mantissa, exp, decimals), text.clone());
        prop_assert_eq!(long(Number { mantissa, exp, decimals }), text.clone());
        let digits = written(|text| text.digits(Number { mantissa, exp, decimals }));
        let wanted = text.replace('.', "");
        prop_assert_eq!(digits, wanted.trim_start_matches('0'));
    }
}

type KnownLevels = std::collections::BTreeMap<(bool, i64), (i64, u8)>;

/// The checksum of levels by side and price, with quantity and its decimals; prices have two.
fn naive(algorithm: Algorithm, known: &KnownLevels, scale: &Scale) -> i64 {
    let text = |(&(_, price), &(qty, decimals)): (&(bool, i64), &(i64, u8))| {
        let price = long(Number { mantissa: price, exp: scale.price_exp, decimals: 2 });
        let qty = long(Number { mantissa: qty, exp: scale.qty_exp, decimals });
        let digits = |text: &str| text.replace('.', "").trim_start_matches('0').to_owned();
        match algorithm {
            Algorithm::Okx => format!("{price}:{qty}:"),
            Algorithm::Kraken => digits(&price) + &digits(&qty),
        }
    };
    let n = algorithm.levels();
    let side = |wanted: bool| known.iter().filter(move |((is_bid, _), _)| *is_bid == wanted).map(text);
    let asks: Vec<_> = side(false).take(n).collect();
    let bids: Vec<_> = side(true).collect();
    let bids: Vec<_> = bids.into_iter().rev().take(n).collect();
    match algorithm {
        Algorithm::Okx => {
            let level = |levels: &[String], index| levels.get(index).cloned().unwrap_or_default();
            let text: String = (0..n).map(|index| level(&bids, index) + &level(&asks, index)).collect();
            i64::from(crc32fast::hash(text.trim_end_matches(':').as_bytes()).cast_signed())
        }
        Algorithm::Kraken => i64::from(crc32fast::hash((asks.concat() + &bids.concat()).as_bytes())),
    }
}

proptest! {
    /// However a book came about, level by level or as a whole, with others pushed behind and back, the checksum is that of
    /// its levels.
    #[test]
    fn a_checksum_is_that_of_the_book_however_it_came_about(
        is_okx: bool,
        changes in proptest::collection::vec(
            (any::<bool>(), 0_i64..200, 0_i64..4, prop_oneof![8 => 0_u8..3, 1 => 0_u8..40], 0_u8..30), 1..200,
        ),
    ) {
        let algorithm = if is_okx { Algorithm::Okx } else { Algorithm::Kraken };
        let mut scale = Scale { price_exp: -2, qty_exp: -2 };
        let mut factor = 1;
        let (mut book, mut printed) = (Book::new(1), Printed::new(1, scale));
        let mut known = KnownLevels::new();
        let mut text = Vec::new();
        for (is_bid, price, qty, decimals, what) in changes {
            let side = |is_bid| if is_bid { Side::Bid } else { Side::Ask };
            let levels = |at: &[i64]| -> Vec<Level> {
                let qty = |at: &i64| if *at == 120 && decimals > 0 { 0 } else { 100 * factor * (1 + at % 4) };
                at.iter().map(|at| Level { price: at * factor, qty: qty(at) }).collect()
            };
            match what {
                0..=2 => {
                    book.clear();
                    printed.clear();
                    known.clear();
                }
                3 | 4 if printed.is_new() => {
                    // As venues send it, or with one out of order.
                    let width = if what == 4 && qty == 0 { 30 } else { 200 };
                    let mut bids: Vec<_> = ((price - width).max(0)..price).rev().collect();
                    let mut asks: Vec<_> = (price..(price + width).min(200)).collect();
                    let swapped = if is_bid { &mut bids } else { &mut asks };
                    if what == 3 && swapped.len() > 70 {
                        swapped.swap(7 * qty as usize, 70);
                    }
                    let extra = |at: &i64| LevelExtra {
                        price_decimals: 2,
                        qty_decimals: if at % 3 == 0 { decimals } else { decimals / 2 },
                        ..LevelExtra::default()
                    };
                    let extras: Vec<_> = bids.iter().chain(&asks).map(extra).collect();
                    let (bids, asks) = (levels(&bids), levels(&asks));
                    book.set_all(Side::Bid, &bids);
                    book.set_all(Side::Ask, &asks);
                    printed.set_first(&bids, &asks, &extras);
                    let all = bids.iter().map(|bid| (true, bid)).chain(asks.iter().map(|ask| (false, ask)));
                    known.extend(all.zip(&extras).map(|((is_bid, level), extra)| {
                        ((is_bid, level.price), (level.qty, extra.qty_decimals))
                    }));
                    known.retain(|_, (qty, _)| *qty > 0);
                    prop_assert!(!printed.is_new());

                }
                5 | 6 if factor < 1_000 => {
                    factor *= 10;
                    scale = Scale { price_exp: scale.price_exp - 1, qty_exp: scale.qty_exp - 1 };
                    book.rescale(10, 10).unwrap();
                    printed.rescale(10, &scale).unwrap();
                    known = known.into_iter().map(|((is_bid, price), (qty, decimals))| {
                        ((is_bid, 10 * price), (10 * qty, decimals))
                    }).collect();
                }
                7..=9 => {
                    let gone: Vec<_> = known.keys().filter(|(other, _)| *other == is_bid).copied().collect();
                    let best = gone.len().saturating_sub(price as usize);
                    let gone = if is_bid { &gone[best..] } else { &gone[..gone.len() - best] };
                    for (_, price) in gone {
                        book.set(side(is_bid), *price, 0);
                        printed.remove(side(is_bid), *price);
                        known.remove(&(is_bid, *price));
                    }
                }
                _ => {
                    let level = Level { price: price * factor, qty: 100 * factor * qty };
                    book.set(side(is_bid), level.price, level.qty);
                    printed.set(side(is_bid), level, Decimals { price: 2, qty: decimals });
                    known.insert((is_bid, level.price), (level.qty, decimals));
                    known.retain(|_, (qty, _)| *qty > 0);
                }
            }
            if what % 3 != 0 {
                let ours = algorithm.of(&book, &mut printed, &scale, &mut text);
                prop_assert_eq!(ours, naive(algorithm, &known, &scale));
            }
        }
    }
}

/// A book of texts and its decimals, at exponents of six places.
fn book(bids: &[[&str; 2]], asks: &[[&str; 2]]) -> (Book, Printed, Scale) {
    let scale = Scale { price_exp: -6, qty_exp: -9 };
    let (mut book, mut printed) = (Book::new(0), Printed::new(0, scale));
    let decimals = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.len()) as u8;
    for (side, rows) in [(Side::Bid, bids), (Side::Ask, asks)] {
        for [price, qty] in rows {
            let level = Level {
                price: decimal::parse(price.as_bytes(), scale.price_exp).unwrap(),
                qty: decimal::parse(qty.as_bytes(), scale.qty_exp).unwrap(),
            };
            book.set(side, level.price, level.qty);
            printed.set(side, level, Decimals { price: decimals(price), qty: decimals(qty) });
        }
    }
    (book, printed, scale)
}

#[test]
fn kraken_is_the_vector_of_its_guide() {
    let asks = [
        ["45285.2", "0.00100000"],
        ["45286.4", "1.54571953"],
        ["45286.6", "1.54571109"],
        ["45289.6", "1.54560911"],
        ["45290.2", "0.15890660"],
        ["45291.8", "1.54553491"],
        ["45294.7", "0.04454749"],
        ["45296.1", "0.35380000"],
        ["45297.5", "0.09945542"],
        ["45299.5", "0.18772827"],
        ["45300.0", "9.00000000"],
    ];
    let bids = [
        ["45283.5", "0.10000000"],
        ["45283.4", "1.54582015"],
        ["45282.1", "0.10000000"],
        ["45281.0", "0.10000000"],
        ["45280.3", "1.54592586"],
        ["45279.0", "0.07990000"],
        ["45277.6", "0.03310103"],
        ["45277.5", "0.30000000"],
        ["45277.3", "1.54602737"],
        ["45276.6", "0.15445238"],
        ["45276.0", "9.00000000"],
    ];
    let (book, mut printed, scale) = book(&bids, &asks);
    let mut text = Vec::new();
    assert_eq!(Algorithm::Kraken.of(&book, &mut printed, &scale, &mut text), 3_310_070_434);
    assert!(text.starts_with(b"452852100000452864154571953"));
}

#[test]
fn okx_goes_on_with_one_side_where_the_other_ends() {
    let bids = [["3366.1", "7"], ["3366", "6.00"], ["0.5", "1"]];
    let (book, mut printed, scale) = book(&bids, &[["3366.8", "9"]]);
    let mut text = Vec::new();
    // By zlib.crc32 of the text in Python.
    assert_eq!(Algorithm::Okx.of(&book, &mut printed, &scale, &mut text), 1_650_942_356);
    assert!(text.starts_with(b"3366.1:7:3366.8:9:3366:6.00:0.5:1"));
    let (empty, mut printed, scale) = self::book(&[], &[]);
    assert_eq!(Algorithm::Okx.of(&empty, &mut printed, &scale, &mut text), 0);
    assert!(!Algorithm::Okx.is_given(0) && Algorithm::Kraken.is_given(0));
}
