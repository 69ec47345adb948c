//! 2nodelms: rows T01 to T08 of section 11.3.
//!
//! Rows named after a defect (A, B, D) show what no worked example does.

use crate::script::Row;
use crate::{Table, one_test_per_row};
use qarbiter::wire::Algorithm;

pub(crate) const TABLE: Table = Table {
    algorithm: Algorithm::TwoNodeLms,
    rows: ROWS,
};

const ROWS: &[Row] = &[
    Row {
        id: "base 2",
        text: "
            start: none
            A, B connect @1.4 => -
            A, B mem{1,2}@1.4 => each: re ACK
        ",
    },
    Row {
        id: "T01",
        text: "
            start: base 2
            A quorum  => A: re NO_CHANGE
            A ask     => A: re ACK
            A hc fail => A: re NO_CHANGE
        ",
    },
    Row {
        id: "T02",
        text: "
            start: none
            A connect @1.4 => -
            A cfg{1,2,3}   => A: err 12
            A ask          => A: re ASK_LATER
            A cfg{1}       => A: err 12
        ",
    },
    Row {
        id: "T03",
        text: "
            start: base 2
            B mem{2}@2.9 => B: re NACK
            A mem{1}@1.9 => A: re ACK
        ",
    },
    Row {
        id: "T04",
        text: "
            start: base 2
            tie-breaker: highest
            B mem{2}@2.9 => B: re ACK
              safe (A2)  => B: re WAIT; A: push NACK
            A mem{1}@1.9 => A: re NACK
              safe (A2)  => A: re NACK; B: push ACK
        ",
    },
    Row {
        id: "T05",
        text: "
            start: end of T03
            A leave           => -
              no-leases (A9)  => B: push ACK
            B ask             => B: re NACK
              safe (lease, A9) => B: re WAIT
              no-leases (A9)  => B: re ACK
            B mem{2}@2.d      => B: re ACK
              safe (lease)    => B: re WAIT
              no-leases (A9)  => B: re ACK
            [leases] wait 18s => B: push ACK
            [leases] B ask    => B: re ACK
        ",
    },
    Row {
        id: "T06",
        text: "
            start: none
            tie-breaker: highest
            A connect @1.4    => -
            A mem{1}@1.4      => A: re ACK
            B connect @2.7    => -
            B mem{2}@2.7+pass => B: re NACK
            B ask             => B: re ASK_LATER
        ",
    },
    Row {
        id: "T07",
        text: "
            start: base 2
            A mem{1}@1.9+fail => A: re NACK
            B mem{2}@2.9      => B: re ACK
            B mem{2}@2.9+pass => B: re ACK
            A mem{1}@1.d+pass => A: re ACK
              safe (A2)       => A: re WAIT; B: push NACK
            [safe] B ok       => A: push ACK
            [safe] A ask      => A: re ACK
            [safe] B ask      => B: re NACK
        ",
    },
    Row {
        id: "T08",
        text: "
            start: base 2
            tie-breaker: 2
            B mem{2}@2.9 => B: re ACK
              safe (A2)  => B: re WAIT; A: push NACK
            A mem{1}@1.9 => A: re NACK
              safe (A2)  => A: re NACK; B: push ACK
        ",
    },
    // B may not have the vote for its new ring while A may cast it for the old one.
    Row {
        id: "A2",
        text: "
            start: base 2
            B mem{1,2}@1.8 => B: re ACK
              safe (A2)    => B: re WAIT
            A mem{1,2}@1.8 => A: re ACK
              safe (A2)    => A: re ACK; B: push ACK
        ",
    },
];

one_test_per_row! {
    t01 = "T01",
    t02 = "T02",
    t03 = "T03",
    t04 = "T04",
    t05 = "T05",
    t06 = "T06",
    t07 = "T07",
    t08 = "T08",
    a2 = "A2",
}
