//! Tables, columns and attributes (provisioning spec 7.2).
//!
//! A column is named after the number of the PKCS #11 attribute that it holds. NSS selects
//! columns by name, and adds those that it misses; the list here is the one of NSS 3.87.

/// The file with the certificates.
pub(in crate::pki) const CERTIFICATES: &str = "cert9.db";

/// The file with the private keys.
pub(in crate::pki) const KEYS: &str = "key4.db";

/// The table in [`CERTIFICATES`].
pub(super) const PUBLIC: &str = "nssPublic";

/// The table in [`KEYS`].
pub(super) const PRIVATE: &str = "nssPrivate";

/// The table in [`KEYS`] with the password's check value and the codes against alteration.
pub(super) const META: &str = "CREATE TABLE metaData \
    (id PRIMARY KEY UNIQUE ON CONFLICT REPLACE, item1, item2)";

/// Present but empty, as against NULL, which is absent.
pub(super) const EMPTY: &[u8] = &[0xa5, 0x00, 0x5a];

/// Values of the class attribute.
pub(super) mod class {
    pub(in super::super) const CERTIFICATE: &[u8] = &[0, 0, 0, 1];
    pub(in super::super) const PUBLIC_KEY: &[u8] = &[0, 0, 0, 2];
    pub(in super::super) const PRIVATE_KEY: &[u8] = &[0, 0, 0, 3];
    pub(in super::super) const TRUST: &[u8] = &[0xce, 0x53, 0x43, 0x53];
}

/// Values of the key type attribute.
pub(super) mod key_type {
    pub(in super::super) const RSA: &[u8] = &[0, 0, 0, 0];
    pub(in super::super) const EC: &[u8] = &[0, 0, 0, 3];
}

/// Values of trust attributes.
pub(super) mod trust {
    /// Trusted to issue certificates for the purpose.
    pub(in super::super) const DELEGATOR: &[u8] = &[0xce, 0x53, 0x43, 0x52];
    /// Trusted only as far as its issuer is.
    pub(in super::super) const MUST_VERIFY: &[u8] = &[0xce, 0x53, 0x43, 0x53];
}

/// Numbers of attributes.
pub(super) mod attribute {
    pub(in super::super) const CLASS: u32 = 0x0;
    pub(in super::super) const TOKEN: u32 = 0x1;
    pub(in super::super) const PRIVATE: u32 = 0x2;
    pub(in super::super) const LABEL: u32 = 0x3;
    pub(in super::super) const VALUE: u32 = 0x11;
    pub(in super::super) const CERTIFICATE_TYPE: u32 = 0x80;
    pub(in super::super) const ISSUER: u32 = 0x81;
    pub(in super::super) const SERIAL: u32 = 0x82;
    pub(in super::super) const KEY_TYPE: u32 = 0x100;
    pub(in super::super) const SUBJECT: u32 = 0x101;
    pub(in super::super) const ID: u32 = 0x102;
    pub(in super::super) const SENSITIVE: u32 = 0x103;
    pub(in super::super) const ENCRYPT: u32 = 0x104;
    pub(in super::super) const DECRYPT: u32 = 0x105;
    pub(in super::super) const WRAP: u32 = 0x106;
    pub(in super::super) const UNWRAP: u32 = 0x107;
    pub(in super::super) const SIGN: u32 = 0x108;
    pub(in super::super) const SIGN_RECOVER: u32 = 0x109;
    pub(in super::super) const VERIFY: u32 = 0x10a;
    pub(in super::super) const VERIFY_RECOVER: u32 = 0x10b;
    pub(in super::super) const DERIVE: u32 = 0x10c;
    pub(in super::super) const START_DATE: u32 = 0x110;
    pub(in super::super) const END_DATE: u32 = 0x111;
    pub(in super::super) const MODULUS: u32 = 0x120;
    pub(in super::super) const PUBLIC_EXPONENT: u32 = 0x122;
    pub(in super::super) const PRIVATE_EXPONENT: u32 = 0x123;
    pub(in super::super) const PRIME_1: u32 = 0x124;
    pub(in super::super) const PRIME_2: u32 = 0x125;
    pub(in super::super) const EXPONENT_1: u32 = 0x126;
    pub(in super::super) const EXPONENT_2: u32 = 0x127;
    pub(in super::super) const COEFFICIENT: u32 = 0x128;
    pub(in super::super) const EXTRACTABLE: u32 = 0x162;
    pub(in super::super) const LOCAL: u32 = 0x163;
    pub(in super::super) const NEVER_EXTRACTABLE: u32 = 0x164;
    pub(in super::super) const ALWAYS_SENSITIVE: u32 = 0x165;
    pub(in super::super) const MODIFIABLE: u32 = 0x170;
    pub(in super::super) const EC_PARAMETERS: u32 = 0x180;
    pub(in super::super) const EC_POINT: u32 = 0x181;
    pub(in super::super) const TRUST_SERVER_AUTH: u32 = 0xce53_6358;
    pub(in super::super) const TRUST_CLIENT_AUTH: u32 = 0xce53_6359;
    pub(in super::super) const TRUST_CODE_SIGNING: u32 = 0xce53_635a;
    pub(in super::super) const TRUST_EMAIL: u32 = 0xce53_635b;
    pub(in super::super) const TRUST_STEP_UP: u32 = 0xce53_6360;
    pub(in super::super) const CERTIFICATE_SHA1: u32 = 0xce53_63b4;
    pub(in super::super) const CERTIFICATE_MD5: u32 = 0xce53_63b5;
    /// NSS's own: the public number or point, by which it looks a key up.
    pub(in super::super) const NSS_DB: u32 = 0xd5a0_db00;
}

/// The name of an attribute's column.
pub(super) fn column(attribute: u32) -> String {
    format!("a{attribute:x}")
}

/// All columns but the first, `id`.
const COLUMNS: &[u32] = &[
    0x0,
    0x1,
    0x2,
    0x3,
    0x10,
    0x11,
    0x12,
    0x80,
    0x81,
    0x82,
    0x83,
    0x84,
    0x85,
    0x86,
    0x87,
    0x88,
    0x89,
    0x8a,
    0x8b,
    0x90,
    0x100,
    0x101,
    0x102,
    0x103,
    0x104,
    0x105,
    0x106,
    0x107,
    0x108,
    0x109,
    0x10a,
    0x10b,
    0x10c,
    0x110,
    0x111,
    0x120,
    0x121,
    0x122,
    0x123,
    0x124,
    0x125,
    0x126,
    0x127,
    0x128,
    0x129,
    0x130,
    0x131,
    0x132,
    0x133,
    0x134,
    0x160,
    0x161,
    0x162,
    0x163,
    0x164,
    0x165,
    0x166,
    0x170,
    0x180,
    0x181,
    0x200,
    0x201,
    0x202,
    0x210,
    0x300,
    0x301,
    0x302,
    0x400,
    0x401,
    0x402,
    0x403,
    0x404,
    0x405,
    0x406,
    0x480,
    0x481,
    0x482,
    0x500,
    0x501,
    0x502,
    0x503,
    0x4000_0211,
    0x4000_0212,
    0x8000_0001,
    0xce53_4351,
    0xce53_4352,
    0xce53_4353,
    0xce53_4354,
    0xce53_4355,
    0xce53_4356,
    0xce53_4357,
    0xce53_4358,
    0xce53_4364,
    0xce53_4365,
    0xce53_4366,
    0xce53_4367,
    0xce53_4368,
    0xce53_4369,
    0xce53_4373,
    0xce53_4374,
    0xce53_6351,
    0xce53_6352,
    0xce53_6353,
    0xce53_6354,
    0xce53_6355,
    0xce53_6356,
    0xce53_6357,
    0xce53_6358,
    0xce53_6359,
    0xce53_635a,
    0xce53_635b,
    0xce53_635c,
    0xce53_635d,
    0xce53_635e,
    0xce53_635f,
    0xce53_6360,
    0xce53_63b4,
    0xce53_63b5,
    0xd5a0_db00,
];

/// The statements that make a table of objects with its indexes.
pub(super) fn objects(table: &str) -> String {
    use attribute::{ID, ISSUER, LABEL, SUBJECT};
    let columns: Vec<_> = COLUMNS.iter().copied().map(column).collect();
    let mut statements = format!(
        "CREATE TABLE {table} (id PRIMARY KEY UNIQUE ON CONFLICT ABORT, {});",
        columns.join(", ")
    );
    for (name, attribute) in [
        ("issuer", ISSUER),
        ("subject", SUBJECT),
        ("label", LABEL),
        ("ckaid", ID),
    ] {
        let column = column(attribute);
        statements += &format!("CREATE INDEX {name} ON {table} ({column});");
    }
    statements
}
