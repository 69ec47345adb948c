//! lms: rows L01 to L21 of section 11.2.
//!
//! Rows named after a defect (A, B, D) show what no worked example does.

use crate::script::Row;
use crate::{Table, one_test_per_row};
use qarbiter::wire::Algorithm;

pub(crate) const TABLE: Table = Table {
    algorithm: Algorithm::Lms,
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
        id: "base 4",
        text: "
            start: none
            A, B, C, D connect @1.4 => -
            A, B, C, D mem{1-4}@1.4 => each: re ACK
        ",
    },
    Row {
        id: "three nodes",
        text: "
            start: none
            A, B, C connect @1.4 => -
            A, B, C mem{1-3}@1.4 => each: re ACK
        ",
    },
    Row {
        id: "nine nodes",
        text: "
            start: none
            A, B, C, D, E, F, G, H, I connect @1.4 => -
            A, B, C, D, E, F, G, H, I mem{1-9}@1.4 => each: re ACK
        ",
    },
    Row {
        id: "L01",
        text: "
            start: none
            A connect @1.5 => -
            A cfg{1,2}     => A: re NO_CHANGE
            A mem{1}@1.5   => A: re ACK
            A quorum       => A: re ACK
            A ask          => A: re ACK
        ",
    },
    Row {
        id: "L02",
        text: "
            start: none
            A connect @0.0  => -
            A mem{1}@1.5    => A: re WAIT
              safe (A7)     => A: re ACK
            timer           => A: push ACK
              safe (sooner) => -
            timer           => -
        ",
    },
    Row {
        id: "L03",
        text: "
            start: base 2
            A mem{1,2}@1.8  => A: re WAIT
            B mem{1,2}@1.8  => B: re ACK
              safe (sooner) => B: re ACK; A: push ACK
            timer           => A: push ACK
              safe (sooner) => -
            timer           => -
        ",
    },
    Row {
        id: "L04",
        text: "
            start: base 2
            A mem{1}@1.9    => A: re WAIT
            B mem{2}@2.9    => B: re WAIT
              safe (sooner) => B: re NACK; A: push ACK
            timer           => A: push ACK; B: push NACK
              safe (sooner) => -
            timer           => -
        ",
    },
    Row {
        id: "L05",
        text: "
            start: base 2
            tie-breaker: highest
            A mem{1}@1.9    => A: re WAIT
            B mem{2}@2.9    => B: re WAIT
              safe (sooner) => B: re ACK; A: push NACK
            timer           => A: push NACK; B: push ACK
              safe (sooner) => -
            timer           => -
        ",
    },
    Row {
        id: "L06",
        text: "
            start: base 4
            A, B mem{1,2}@1.9 => each: re WAIT
            C mem{3,4}@3.9    => C: re WAIT
            D mem{3,4}@3.9    => D: re WAIT
              safe (sooner)   => D: re NACK; A, B: push ACK; C: push NACK
            timer             => A, B: push ACK; C, D: push NACK
              safe (sooner)   => -
            timer             => -
        ",
    },
    Row {
        id: "L07",
        text: "
            start: base 4
            tie-breaker: 3
            A, B mem{1,2}@1.9   => each: re WAIT
            C mem{3,4}@3.9      => C: re WAIT
            D mem{3,4}@3.9      => D: re WAIT
              safe (A1, sooner) => D: re ACK; A, B: push NACK; C: push ACK
            timer               => A, B, D: push NACK; C: push ACK
              safe (A1, sooner) => -
            timer               => -
        ",
    },
    Row {
        id: "L08",
        text: "
            start: base 4
            A, B, C mem{1,2,3}@1.9 => each: re WAIT
            D mem{4}@4.9           => D: re WAIT
              safe (sooner)        => D: re NACK; A, B, C: push ACK
            timer                  => A, B, C: push ACK; D: push NACK
              safe (sooner)        => -
            timer                  => -
        ",
    },
    Row {
        id: "L09",
        text: "
            start: base 4
            A, B mem{1,2}@1.9   => each: re WAIT
            C mem{3,4}@3.9+pass => C: re WAIT
            D mem{3,4}@3.9      => D: re WAIT
              safe (sooner)     => D: re ACK; A, B: push NACK; C: push ACK
            timer               => A, B: push NACK; C, D: push ACK
              safe (sooner)     => -
            timer               => -
        ",
    },
    Row {
        id: "L10",
        text: "
            start: none
            tie-breaker: highest
            A connect @1.4   => -
            A mem{1}@1.4     => A: re ACK
            B connect @2.7   => -
            B mem{2}@2.7     => B: re NACK
            B quorum         => B: re NACK
            B ask            => B: re NACK
            timer            => -
            A leave          => -
              no-leases (A3) => B: push ACK
            B ask            => B: re ACK
              safe (lease)   => B: re WAIT
              no-leases (A3) => B: re ACK
            [leases] wait 18s => B: push ACK
        ",
    },
    Row {
        id: "L11",
        text: "
            start: none
            tie-breaker: highest
            A connect @1.4      => -
            A mem{1,2}@1.4      => A: re ACK
            B connect @2.7      => -
            B mem{2}@2.7        => B: re WAIT
            A mem{1}@1.9        => A: re WAIT
              safe (A6, sooner) => A: re ACK; B: push NACK
            [safe] B ok         => -
            timer               => A: push NACK; B: push ACK
              safe (A6, sooner) => -
            timer               => -
        ",
    },
    Row {
        id: "L12",
        text: "
            start: end of L04
            A leave           => -
              no-leases (A3)  => B: push ACK
            B quorum          => B: re ACK
              safe (lease)    => B: re WAIT
              no-leases (A3)  => B: re ACK
            [leases] wait 18s => B: push ACK
        ",
    },
    Row {
        id: "L13",
        text: "
            start: base 2
            A mem{1}@1.9    => A: re WAIT
            timer           => -
            timer           => -
            B leave         => -
              safe (sooner) => A: push ACK
            timer           => A: push ACK
              safe (sooner) => -
            timer           => -
        ",
    },
    Row {
        id: "L14",
        text: "
            start: base 2
            A hc fail           => A: re NO_CHANGE
            A quorum            => A: re ACK
            B hc pass           => B: re NO_CHANGE
            A mem{1,2}@1.8      => A: re WAIT
            B mem{1,2}@1.8      => B: re NACK
              safe (A7, sooner) => B: re ACK; A: push ACK
            B quorum            => B: re ACK
            timer               => A: push ACK
              safe (sooner)     => -
            timer               => -
        ",
    },
    Row {
        id: "L15",
        text: "
            start: three nodes
            C leave         => -
            A mem{1,2}@1.8  => A: re WAIT
            B mem{1,2}@1.8  => B: re ACK
              safe (sooner) => B: re ACK; A: push ACK
            timer           => A: push ACK
              safe (sooner) => -
            B leave         => -
            A mem{1}@1.12   => A: re ACK
            A quorum        => A: re ACK
        ",
    },
    Row {
        id: "L16",
        text: "
            start: none
            nodes: A=3000000001, B=3000000002
            A, B connect @3000000001.4 => -
            A, B mem{3000000001,3000000002}@3000000001.4 => each: re ACK
            A mem{3000000001}@3000000001.9 => A: re WAIT
            B mem{3000000002}@3000000002.9 => B: re WAIT
              safe (A4, sooner) => B: re NACK; A: push ACK
            timer               => A, B: push NACK
              safe (A4, sooner) => -
            timer               => -
        ",
    },
    Row {
        id: "L17",
        text: "
            start: base 2
            A mem{1}@1.9    => A: re WAIT
            A ask           => A: re WAIT
            A quorum        => A: re WAIT
            B mem{2}@2.9    => B: re WAIT
              safe (sooner) => B: re NACK; A: push ACK
            A quorum        => A: re ACK
            timer           => B: push NACK
              safe (sooner) => -
            timer           => -
        ",
    },
    Row {
        id: "L18",
        text: "
            start: base 2
            A leave            => -
            B mem{2}@2.7       => B: re ACK
            A connect @1.9     => -
            A mem{1}@1.9       => A: re NACK
            B mem{2}@2.12+fail => B: re NACK
              safe (A7, sooner) => B: re NACK; A: push ACK
            B quorum           => B: re NACK
            A quorum           => A: re ACK
            timer              => -
        ",
    },
    Row {
        id: "L19",
        text: "
            start: end of L04
            B mem{2}@2.d+pass => B: re NACK
              safe (A2, A7)   => B: re WAIT; A: push NACK
            B quorum          => B: re ACK
              safe (A2)       => B: re WAIT
            [safe] A ok       => B: push ACK
            [safe] B quorum   => B: re ACK
            A ask             => A: re NACK
            timer             => -
        ",
    },
    Row {
        id: "L20",
        text: "
            start: end of L06
            B leave           => -
              safe (A3)       => A: push NACK
            A mem{1}@1.d      => A: re NACK
              safe (A3)       => A: re NACK; C, D: push ACK
            A quorum          => A: re NACK
            wait 20s          => -
            C ask             => C: re ACK
        ",
    },
    Row {
        id: "L21",
        text: "
            start: nine nodes
            A mem{1,2}@1.9+pass    => A: re WAIT
            B mem{1,2}@1.9         => B: re WAIT
            C, D, E mem{3-5}@3.9   => each: re WAIT
            F, G mem{6-9}@6.9+fail => each: re WAIT
            H mem{6-9}@6.9         => H: re WAIT
            I mem{6-9}@6.9         => I: re WAIT
              safe (A5, sooner)    => I: re NACK; A, B, F, G, H: push NACK; C, D, E: push ACK
            timer                  => A, B, C, D, E: push NACK; F, G, H, I: push ACK
              safe (A5, sooner)    => -
            timer                  => -
        ",
    },
    // B is there but never reports the split.
    Row {
        id: "A8",
        text: "
            start: base 2
            A mem{1}@1.9  => A: re WAIT
            wait 15s      => -
            wait 2s       => -
              safe (A8)   => B: push NACK
            [safe] B ok   => A: push ACK
            wait 60s      => -
        ",
    },
    // B repeats the old ring, which is not the report that A waits for.
    Row {
        id: "A8-again",
        text: "
            start: base 2
            A mem{1}@1.9   => A: re WAIT
            wait 5s        => -
            B mem{1,2}@1.4 => B: re WAIT
              safe (A8)    => B: re ACK
            wait 10s       => -
            wait 2s        => -
              safe (A8)    => B: push NACK
            [safe] B ok    => A: push ACK
        ",
    },
    // A says again what it sees, which must not make it wait longer.
    Row {
        id: "A8-repeat",
        text: "
            start: base 2
            A mem{1}@1.9      => A: re WAIT
            wait 10s          => -
            A mem{1}@1.9+pass => A: re WAIT
            wait 7s           => -
              safe (A8)       => B: push NACK
            [safe] B ok       => A: push ACK
        ",
    },
    Row {
        id: "D7",
        text: "
            start: end of L04
            A silent  => -
            wait 7s   => -
            wait 2s   => A: closed
              no-leases (A3) => A: closed; B: push ACK
            wait 4s   => -
            [leases] wait 8s => -
            [leases] wait 1s => B: push ACK
            B quorum  => B: re ACK
        ",
    },
];

one_test_per_row! {
    l01 = "L01",
    l02 = "L02",
    l03 = "L03",
    l04 = "L04",
    l05 = "L05",
    l06 = "L06",
    l07 = "L07",
    l08 = "L08",
    l09 = "L09",
    l10 = "L10",
    l11 = "L11",
    l12 = "L12",
    l13 = "L13",
    l14 = "L14",
    l15 = "L15",
    l16 = "L16",
    l17 = "L17",
    l18 = "L18",
    l19 = "L19",
    l20 = "L20",
    l21 = "L21",
    a8 = "A8",
    a8_again = "A8-again",
    a8_repeat = "A8-repeat",
    d7 = "D7",
}
