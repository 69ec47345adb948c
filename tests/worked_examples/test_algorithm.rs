//! test: rows E01 to E03 of section 11.4.

use crate::script::Row;
use crate::{Table, one_test_per_row};
use qarbiter::wire::Algorithm;

pub(crate) const TABLE: Table = Table {
    algorithm: Algorithm::Test,
    rows: ROWS,
};

const ROWS: &[Row] = &[
    Row {
        id: "E01",
        text: "
            start: none
            A connect @1.4 => -
            A cfg{1,2}     => A: re NO_CHANGE
            A ask          => A: re ACK
            A mem{1}@1.4   => A: re ACK
            A quorum       => A: re NO_CHANGE
            A hc fail      => A: re NO_CHANGE
        ",
    },
    Row {
        id: "E02",
        text: "
            start: none
            A, B connect @1.4 => -
            A, B mem{1,2}@1.4 => each: re ACK
            A mem{1}@1.9      => A: re ACK
            B mem{2}@2.9      => B: re ACK
        ",
    },
    Row {
        id: "E03",
        text: "
            start: none
            A connect @1.4    => -
            A mem{1}@1.4+fail => A: re ACK
            B connect @1.4    => -
            B leave           => -
            A ok 7            => -
        ",
    },
];

one_test_per_row! {
    e01 = "E01",
    e02 = "E02",
    e03 = "E03",
}
