//! Random messages, well-formed and not: every type and option with values of the right and the wrong size, before and
//! after INIT. Compared between the two servers, like the random sessions.
//!
//! Left out are the messages that ours answers better on purpose: INIT (D9), STARTTLS, PREINIT in session (D2), and
//! unknown types with an empty body (D8). The scenario files have those.

use crate::random::Dice;
use crate::script::{Scenario, Step};
use crate::wire::hex;

/// Sizes of the fixed-size options; zero where any size, or any even size, is fine (protocol spec 2.2).
const SIZES: [usize; 24] = [
    4, 0, 1, 1, 0, 0, 2, 4, 4, 4, 0, 2, 4, 12, 8, 4, 1, 0, 1, 1, 1, 5, 1, 1,
];

/// The messages of one seed, to one server: some before PREINIT, more in session.
pub(crate) fn messages(seed: u64, index: usize) -> Scenario {
    let mut dice = Dice::new(seed ^ 0x6A09_E667_F3BC_C908);
    let algorithm = dice.pick(&["ffsplit", "ffsplit", "2nodelms", "test"]);
    let name = format!("garbled-{algorithm}-{seed}");
    let step = |who: char, verb: &str, args: String| Step {
        place: name.clone(),
        only: None,
        who: Some(who),
        verb: verb.to_owned(),
        args,
    };
    let mut steps = vec![step('A', "connect", String::new())];
    steps.extend((0..15).map(|_| step('A', ">hex", message(&mut dice, true))));
    steps.push(step('B', "join", String::new()));
    steps.extend((0..40).map(|_| step('B', ">hex", message(&mut dice, false))));
    Scenario {
        name,
        index,
        about: "random messages".to_owned(),
        server: "-s off -c on".to_owned(),
        ours: "rules=reference".to_owned(),
        free: true,
        join: format!("alg={algorithm} hb=8000"),
        steps,
        ..Scenario::default()
    }
}

/// One message in hexadecimal.
fn message(dice: &mut Dice, early: bool) -> String {
    let kind = loop {
        let kind = dice.below(20);
        let intended = matches!(kind, 2 | 3) || (kind == 0 && !early);
        // The working messages are the interesting ones.
        if !intended && (matches!(kind, 6 | 8 | 10 | 12 | 15 | 16) || dice.percent(25)) {
            break kind;
        }
    };
    let mut body = Vec::new();
    if dice.percent(90) {
        let seq = u8::try_from(dice.below(256)).expect("a byte");
        body.extend([0, 0, 0, 4, 0, 0, 0, seq]);
    }
    if kind == 10 && dice.percent(90) {
        let list = u8::try_from(dice.below(4)).expect("four types");
        body.extend([0, 18, 0, 1, list]);
    }
    for _ in 0..dice.below(6) {
        option(dice, &mut body);
    }
    if dice.percent(5) {
        let keep = body.len() - dice.below(body.len().min(4) + 1);
        body.truncate(keep);
    }
    if body.is_empty() && kind > 17 {
        body.extend([0, 99, 0, 0]);
    }
    hex(&crate::wire::frame(
        u16::try_from(kind).expect("a type"),
        &body,
    ))
}

fn option(dice: &mut Dice, body: &mut Vec<u8>) {
    // The node lists are the interesting ones.
    let number = if dice.percent(35) { 17 } else { dice.below(26) };
    let value: Vec<u8> = match number {
        17 if dice.percent(85) => {
            let node = u8::try_from(dice.below(4)).expect("few nodes");
            vec![0, 9, 0, 4, 0, 0, 0, node.max(u8::from(dice.percent(95)))]
        }
        // Never an interval that dead-peer detection could notice here.
        12 => dice
            .pick(&[
                &[0_u8, 0, 0x1f, 0x40][..],
                &[0, 1, 0xd4, 0xc0],
                &[0, 1, 0xd4, 0xc1],
                &[0, 0, 3, 0xe7],
            ])
            .to_vec(),
        _ => {
            let fixed = SIZES.get(number).copied().unwrap_or(0);
            let size = if fixed == 0 || dice.percent(6) {
                dice.below(9)
            } else {
                fixed
            };
            (0..size)
                .map(|_| u8::try_from(dice.below(4)).expect("small"))
                .collect()
        }
    };
    body.extend(u16::try_from(number).expect("an option").to_be_bytes());
    body.extend(u16::try_from(value.len()).expect("short").to_be_bytes());
    body.extend(value);
}
