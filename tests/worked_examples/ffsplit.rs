//! ffsplit: rows F01 to F29 of section 11.1.
//!
//! Rows named after a defect (A, B, D) show what no worked example does.

use crate::script::Row;
use crate::{Table, one_test_per_row};
use qarbiter::wire::Algorithm;

pub(crate) const TABLE: Table = Table {
    algorithm: Algorithm::FfSplit,
    rows: ROWS,
};

const ROWS: &[Row] = &[
    Row {
        id: "base 2",
        text: "
            start: none
            A connect @1.4       => -
            A cfg{1,2}           => A: re ASK_LATER
            A mem{1,2}@1.4       => A: push ACK, re NO_CHANGE
            A ok                 => -
            B connect @1.4       => -
            B cfg{1,2}           => B: re ASK_LATER
            B mem{1,2}@1.4       => A: push ACK; B: push ACK, re NO_CHANGE
            A, B ok              => -
        ",
    },
    Row {
        id: "base 4",
        text: "
            start: none
            A, B, C, D connect @1.4 => -
            A, B, C, D cfg{1-4}     => each: re ASK_LATER
            A, B, C mem{1-4}@1.4    => each: re WAIT
            D mem{1-4}@1.4          => A, B, C: push ACK; D: push ACK, re NO_CHANGE
            A, B, C, D ok           => -
        ",
    },
    Row {
        id: "three nodes",
        text: "
            start: none
            A, B, C connect @1.4 => -
            A, B, C cfg{1-3}     => each: re ASK_LATER
            A, B mem{1-3}@1.4    => each: re WAIT
            C mem{1-3}@1.4       => A, B: push ACK; C: push ACK, re NO_CHANGE
            A, B, C ok           => -
        ",
    },
    Row {
        id: "F01",
        text: "
            start: none
            A connect @1.5 => -
            A cfg{1,2}     => A: re ASK_LATER
            A mem{1}@1.5   => A: push ACK, re NO_CHANGE
        ",
    },
    Row {
        id: "F02",
        text: "
            start: none
            A connect @1.4 => -
            A cfg{1,2}     => A: re ASK_LATER
            A mem{1,2}@1.4 => A: push ACK, re NO_CHANGE
            A ok           => -
            B connect @1.4 => -
            B cfg{1,2}     => B: re ASK_LATER
            B mem{1,2}@1.4 => B: push ACK, re NO_CHANGE; A: push ACK
        ",
    },
    Row {
        id: "F03",
        text: "
            start: base 2
            A mem{1,2}@1.8 => A: re WAIT
            B mem{1,2}@1.8 => B: push ACK, re NO_CHANGE; A: push ACK
        ",
    },
    Row {
        id: "F04",
        text: "
            start: base 2
            A mem{1}@1.9 => A: re WAIT
            B mem{2}@2.9 => B: push NACK, re NO_CHANGE
            B ok         => A: push ACK
        ",
    },
    Row {
        id: "F05",
        text: "
            start: base 2
            tie-breaker: highest
            A mem{1}@1.9 => A: re WAIT
            B mem{2}@2.9 => B: re NO_CHANGE; A: push NACK
            A ok         => B: push ACK
        ",
    },
    Row {
        id: "F06",
        text: "
            start: base 2
            tie-breaker: 2
            A mem{1}@1.9 => A: re WAIT
            B mem{2}@2.9 => B: re NO_CHANGE; A: push NACK
            A ok         => B: push ACK
        ",
    },
    Row {
        id: "F07",
        text: "
            start: base 2
            A mem{1}@1.9+fail => A: re WAIT
            B mem{2}@2.9      => B: re NO_CHANGE; A: push NACK
            A ok              => B: push ACK
        ",
    },
    Row {
        id: "F08",
        text: "
            start: end of F04
            A hc fail => A: push NACK, re NO_CHANGE
            A ok      => B: push ACK
            B ok      => -
            A hc pass => A: re NO_CHANGE; B: push NACK
            B ok      => A: push ACK
        ",
    },
    Row {
        id: "F09",
        text: "
            start: end of F04
            B leave => A: push ACK
        ",
    },
    Row {
        id: "F10",
        text: "
            start: end of F04
            A leave => B: push ACK
        ",
    },
    Row {
        id: "F11",
        text: "
            start: base 4
            A, B, C mem{1,2,3}@1.9 => each: re WAIT
            D mem{4}@4.9           => D: push NACK, re NO_CHANGE
            D ok                   => A, B, C: push ACK
        ",
    },
    Row {
        id: "F12",
        text: "
            start: base 4
            B leave        => A, C, D: push ACK
            A mem{1,2}@1.9 => A: re WAIT
            C mem{3,4}@3.9 => C: re WAIT
            D mem{3,4}@3.9 => D: re NO_CHANGE; A: push NACK
            A ok           => C, D: push ACK
        ",
    },
    Row {
        id: "F13",
        text: "
            start: end of F12
            B connect @1.9 => -
            B cfg{1-4}     => B: re ASK_LATER
            B mem{1,2}@1.9 => B: push NACK, re NO_CHANGE; A: push NACK
            A ok           => -
            B ok           => C, D: push ACK
        ",
    },
    Row {
        id: "F14",
        text: "
            start: end of F12
            B connect @1.9, keep-active off => -
            B cfg{1-4}     => B: re ASK_LATER
            B mem{1,2}@1.9 => B: re NO_CHANGE; C, D: push NACK
            C ok           => -
            D ok           => A, B: push ACK
        ",
    },
    Row {
        id: "F15",
        text: "
            start: base 4
            A, B mem{1,2}@1.9 => each: re WAIT
            C mem{3,4}@3.9    => C: re WAIT
            D mem{3,4}@3.9    => D: push NACK, re NO_CHANGE; C: push NACK
            C ok              => -
            D ok              => A, B: push ACK
        ",
    },
    Row {
        id: "F16",
        text: "
            start: three nodes
            A mem{1}@1.9   => A: re WAIT
            B mem{2,3}@2.9 => B: re WAIT
            C mem{2,3}@2.9 => C: re NO_CHANGE; A: push NACK
            A ok           => B, C: push ACK
            B, C ok        => -
            B mem{2}@2.12  => B: re WAIT
            C mem{3}@3.12  => C: push NACK, re NO_CHANGE; A, B: push NACK
            A, B, C ok     => -
        ",
    },
    Row {
        id: "F17",
        text: "
            start: base 2
            A chg{1,2,3} => A: re WAIT
            B chg{1,2,3} => B: push ACK, re NO_CHANGE; A: push ACK
            A, B ok      => -
            B leave      => A: push ACK
            A mem{1}@1.9 => A: push NACK, re NO_CHANGE
        ",
    },
    Row {
        id: "F18",
        text: "
            start: base 2
            A mem{1}@1.9 => A: re WAIT
            B mem{2}@2.9 => B: push NACK, re NO_CHANGE
            A hc pass    => A: re NO_CHANGE; B: push NACK
            B old ok     => -
            B ok         => A: push ACK
        ",
    },
    Row {
        id: "F19",
        text: "
            start: base 2
            A mem{1}@1.9 => A: re WAIT
            B mem{2}@2.9 => B: push NACK, re NO_CHANGE
            B leave      => A: push ACK
        ",
    },
    Row {
        id: "F20",
        text: "
            start: base 2
            A mem{1}@1.9    => A: re WAIT
            B mem{2}@2.9    => B: push NACK, re NO_CHANGE
            A mem{1,2}@1.12 => A: re WAIT
            B ok            => -
            B mem{1,2}@1.12 => B: push ACK, re NO_CHANGE; A: push ACK
        ",
    },
    Row {
        id: "F21",
        text: "
            start: none
            A connect @1.9        => -
            A cfg{1-8}            => A: re ASK_LATER
            A mem{1-4}@1.9+pass   => A: push ACK, re NO_CHANGE
            A ok                  => -
            E connect @5.9        => -
            E cfg{1-8}            => E: re ASK_LATER
            E mem{5-8}@5.9+fail   => E: push NACK, re NO_CHANGE
            E ok                  => A: push ACK
            F connect @5.9        => -
            F cfg{1-8}            => F: re ASK_LATER
            F mem{5-8}@5.9        => F: push NACK, re NO_CHANGE; E: push NACK
            E ok                  => -
            F ok                  => A: push ACK
            G connect @5.9        => -
            G cfg{1-8}            => G: re ASK_LATER
            G mem{5-8}@5.9        => G: re NO_CHANGE; A: push NACK
            A ok                  => E, F, G: push ACK
            H connect @5.9        => -
            H cfg{1-8}            => H: re ASK_LATER
            H mem{5-8}@5.9        => H: re NO_CHANGE; A: push NACK
            A ok                  => E, F, G, H: push ACK
        ",
    },
    Row {
        id: "F22",
        text: "
            start: base 4
            A, B mem{1,2}@1.9 => each: re WAIT
            C mem{3}@3.9      => C: re WAIT
            D mem{4}@4.9      => D: push NACK, re NO_CHANGE; C: push NACK
            C ok              => -
            D ok              => A, B: push ACK
        ",
    },
    Row {
        id: "F23",
        text: "
            start: base 2
            A quorum     => A: re NO_CHANGE
            A ask        => A: err 14
            A chg{2,3}   => A: err 18
            A chg{}      => A: err 18
            A mem{2}@1.4 => A: err 19
            A mem{}@1.4  => A: err 19
            A echo       => A: echo
        ",
    },
    Row {
        id: "F24",
        text: "
            start: none
            A connect @1.4 => -
            A mem{1,2}@1.4 => A: re ASK_LATER
            A hc pass      => A: re ASK_LATER
            A cfg{1,2}     => A: re ASK_LATER
            A hc pass      => A: push ACK, re NO_CHANGE
        ",
    },
    Row {
        id: "F25",
        text: "
            start: none
            A connect @1.4 => -
            A cfg{1,2}     => A: re ASK_LATER
            A mem{1,2}@1.4 => A: push ACK, re NO_CHANGE
            A ok           => -
            B connect @1.4 => -
            B cfg{1,2}     => B: re ASK_LATER
            A mem{1,2}@1.4 => A: re WAIT
            B leave        => A: push ACK
        ",
    },
    // D1: the reference pushes NACK to A, whose client exits then; with the other tie-breakers,
    // or if A leaves a cluster where B has done INIT only, it crashes. We reproduce neither.
    Row {
        id: "F26",
        text: "
            start: none
            tie-breaker: 1
            A, B connect @1.4 => -
            B leave           => -
        ",
    },
    Row {
        id: "F26-lowest",
        text: "
            start: none
            A, B connect @1.4 => -
            B leave           => -
        ",
    },
    Row {
        id: "F26-highest",
        text: "
            start: none
            tie-breaker: highest
            A, B connect @1.4 => -
            B leave           => -
        ",
    },
    Row {
        id: "F26-set-up",
        text: "
            start: end of F01
            B connect @2.5 => -
            A leave        => -
        ",
    },
    Row {
        id: "F27",
        text: "
            start: end of F12
            A mem{1}@1.d    => A: push NACK, re NO_CHANGE
            A ok            => C, D: push ACK
            C mem{3}@3.d    => C: re WAIT
            D mem{4}@4.d    => D: push NACK, re NO_CHANGE; A, C: push NACK
            A, C, D ok      => -
            C mem{3,4}@3.12 => C: re WAIT
            A mem{1,2}@1.12 => A: re WAIT
            B connect @1.12 => -
            B cfg{1-4}      => B: re ASK_LATER
            B mem{1,2}@1.12 => B: re WAIT
            D mem{3,4}@3.12 => D: push NACK, re NO_CHANGE; C: push NACK
              safe (B2)     => D: re NO_CHANGE; A, B: push NACK
            [reference] C ok => -
            [reference] D ok => A, B: push ACK
            [safe] A ok      => -
            [safe] B ok      => C, D: push ACK
        ",
    },
    Row {
        id: "F28",
        text: "
            start: base 2
            A mem{1}@1.9 => A: re WAIT
            B mem{2}@2.9 => B: push NACK, re NO_CHANGE
            A hc fail    => A: push NACK, re NO_CHANGE
            B ok         => -
            A ok         => -
              safe (B1)  => B: push ACK
        ",
    },
    Row {
        id: "F29",
        text: "
            start: end of F15
            B leave         => C, D: push NACK
              safe (B4)     => A: push NACK
            [safe] A ok     => C, D: push ACK
            C ok            => -
            D ok            => A: push ACK
              safe (B4)     => -
            A mem{1,2}@1.9  => A: push NACK, re NO_CHANGE
            A ok            => C, D: push ACK
        ",
    },
    // A lost holder of the vote: closed after 1.5 heartbeats, it may cast for 2 and a margin.
    Row {
        id: "D1-lists",
        text: "
            start: none
            A, B connect @1.4 => -
            A cfg{1,2}        => A: re ASK_LATER
            A mem{1,2}@1.4    => A: re WAIT
            wait 17s          => -
              safe (D1)       => A: push ACK
        ",
    },
    Row {
        id: "D7",
        text: "
            start: end of F04
            A silent     => -
            wait 11s     => -
            wait 2s      => A: closed; B: push ACK
              safe (D7)  => A: closed
              no-leases (D7) => A: closed; B: push ACK
            wait 4s      => -
            [leases] wait 1s => B: push ACK
        ",
    },
    // B's heartbeats go on, but it never confirms.
    Row {
        id: "D16",
        text: "
            start: base 2
            A mem{1}@1.9 => A: re WAIT
            B mem{2}@2.9 => B: push NACK, re NO_CHANGE
            wait 15s     => -
            wait 2s      => B: closed; A: push ACK
        ",
    },
];

one_test_per_row! {
    f01 = "F01",
    f02 = "F02",
    f03 = "F03",
    f04 = "F04",
    f05 = "F05",
    f06 = "F06",
    f07 = "F07",
    f08 = "F08",
    f09 = "F09",
    f10 = "F10",
    f11 = "F11",
    f12 = "F12",
    f13 = "F13",
    f14 = "F14",
    f15 = "F15",
    f16 = "F16",
    f17 = "F17",
    f18 = "F18",
    f19 = "F19",
    f20 = "F20",
    f21 = "F21",
    f22 = "F22",
    f23 = "F23",
    f24 = "F24",
    f25 = "F25",
    f26 = "F26",
    f26_lowest = "F26-lowest",
    f26_highest = "F26-highest",
    f26_set_up = "F26-set-up",
    f27 = "F27",
    f28 = "F28",
    f29 = "F29",
    d1_lists = "D1-lists",
    d7 = "D7",
    d16 = "D16",
}
