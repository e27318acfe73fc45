//! JWTs and their keys. Tokens are put together here byte by byte, so that tests can send what no library would
//! write; only the signature is the library's.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

/// Where the secret of a P-256 key stands in its PKCS#8.
const EC_SECRET: std::ops::Range<usize> = 36..68;

/// A key pair of an issuer.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub kid: &'static str,
    algorithm: Algorithm,
    /// The private key: PKCS#8, of RSA PKCS#1, base64.
    secret: &'static str,
    /// The public members of the JWK.
    members: &'static [(&'static str, &'static str)],
}

impl Key {
    /// The name of its algorithm.
    #[must_use]
    pub fn alg(&self) -> &'static str {
        match self.algorithm {
            Algorithm::ES256 => "ES256",
            Algorithm::RS256 => "RS256",
            _ => "EdDSA",
        }
    }

    /// The public key.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let mut jwk = json!({"kid": self.kid, "alg": self.alg(), "use": "sig"});
        for (name, value) in self.members {
            jwk[name] = json!(value);
        }
        jwk
    }

    /// The private key, for those on P-256.
    ///
    /// # Panics
    /// If it is another.
    #[must_use]
    pub fn private_jwk(&self) -> Value {
        assert_eq!(self.alg(), "ES256", "only of P-256 it is known where the secret stands");
        let der = STANDARD.decode(self.secret).expect("the key is base64");
        let mut jwk = self.jwk();
        jwk["d"] = URL_SAFE_NO_PAD.encode(&der[EC_SECRET]).into();
        jwk
    }

    /// A token with these claims.
    ///
    /// # Panics
    /// If the library cannot sign.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({"alg": self.alg(), "kid": self.kid, "typ": "JWT"}), claims)
    }

    /// A token with this header and these claims.
    ///
    /// # Panics
    /// If the library cannot sign.
    #[must_use]
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let der = STANDARD.decode(self.secret).expect("the key is base64");
        let key = match self.algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_der(&der),
            Algorithm::RS256 => EncodingKey::from_rsa_der(&der),
            _ => EncodingKey::from_ed_der(&der),
        };
        sign(header, claims, &key, self.algorithm)
    }

    /// A forgery: HS256, keyed with the public key.
    ///
    /// # Panics
    /// If the library cannot sign.
    #[must_use]
    pub fn forged(&self, claims: &Value) -> String {
        let public =
            self.members.iter().find(|(name, _)| matches!(*name, "x" | "n")).expect("a public key").1;
        let key = EncodingKey::from_secret(&URL_SAFE_NO_PAD.decode(public).expect("the key is base64"));
        sign(&json!({"alg": "HS256", "kid": self.kid, "typ": "JWT"}), claims, &key, Algorithm::HS256)
    }
}

fn sign(header: &Value, claims: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key, algorithm).expect("the key signs");
    format!("{signed}.{signature}")
}

/// The key set of an issuer.
#[must_use]
pub fn key_set(keys: &[Key]) -> Value {
    json!({"keys": keys.iter().map(Key::jwk).collect::<Vec<_>>()})
}

/// The keys that the hub can verify with, one per algorithm.
pub const GOOD: [Key; 3] = [ED, EC, RSA];

/// Ed25519.
pub const ED: Key = Key {
    kid: "ed",
    algorithm: Algorithm::EdDSA,
    secret: "MC4CAQAwBQYDK2VwBCIEIHB9XJP5n4CENyTkv7EEsQeZhP7ZC+qS+GRmkVT0CgNj",
    members: &[("kty", "OKP"), ("crv", "Ed25519"), ("x", "DgGwMs96esiLXDdjUldGp7LNV3i1mJkQoMRkrdr9rm4")],
};

/// Another Ed25519 key.
pub const OTHER_ED: Key = Key {
    kid: "ed-other",
    algorithm: Algorithm::EdDSA,
    secret: "MC4CAQAwBQYDK2VwBCIEIOiDqRJ+zVlDV8es7PzFfjDfwXBglhaaLujQi91XMwqH",
    members: &[("kty", "OKP"), ("crv", "Ed25519"), ("x", "1o0H44HJSnqss1S78dyadmv59xBlrLEAUIBFILQfZcg")],
};

/// P-256.
pub const EC: Key = Key {
    kid: "ec",
    algorithm: Algorithm::ES256,
    secret: "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg31qDgXSZ65P5MDKLSUenxuF6JpahfTP8/Xlu63xZ4Q\
     OhRANCAAQjAze+dYK8S2woXv4uVzjvwa1veVv/wAizRd974COKHlAvqxVckCtGVVJC30r1lFDQu2J3L5tbAO/psHag\
     s/DQ",
    members: &[
        ("kty", "EC"),
        ("crv", "P-256"),
        ("x", "IwM3vnWCvEtsKF7-Llc478Gtb3lb_8AIs0Xfe-Ajih4"),
        ("y", "UC-rFVyQK0ZVUkLfSvWUUNC7Yncvm1sA7-mwdqCz8NA"),
    ],
};

/// RSA with 2048 bits.
pub const RSA: Key = Key {
    kid: "rsa",
    algorithm: Algorithm::RS256,
    secret: "MIIEogIBAAKCAQEAqr9bdItER4hPbis1hvsZdTcSaijftoDqONwzrq9jN8Q7f3FB+dhfI1/Cosyb/NpYhHCQyMAmFE\
     /4JRMS/AJY6KYPHkzxktZAczKK1kJAzErMSHo2dCUUjwqOgGMlkog04M2ts8eMXYhHjidYgm8Y6RCFLdZAjuMM0vcP\
     EVWZNN3to+4ezHF7LCw/C0xgewDreRW53UTd0IK16E/M9Ecob35k7tgk47/mlbzbt/D/+euwGCRZcZip2eRK/eCKI7\
     dmW3ckHZ8aX5985heKHCBxmrbfwOT207wiAaD84mF22Ex1CsHN91DwUBAx/4EJ80OdNAt0esz1y+qCPTFrqwsPZQID\
     AQABAoIBAAC3QCgnLFBbdS/KTRVliJgJ9NEOnk96z2CRJcNR92nEsBYq8KKeQlnY3S1HC9FdzfiyKx04VwCHTExFff\
     MiBGLnTVFsc6fQr6D8AYJ/8RsaJiyYnJFUlXc7DVli8QWh/gzCN/v0tnUu7NPe/NtBIXrap6BHUWp377YTtJO3Rubm\
     lIcStecIbE8JIUnHNQyK7l0eFHcSyxy5UTkrGxtD37Hb0zWOplggXmR6uvjgCqDl+AjQ4xS+96Yu6YlVKyT2TpS2Ih\
     bK90bwyZvmnoQZkE9x2TyGvxi4lOBtOXbXk3DavGbuJzJegZkdTsOZ0Q9eHPjJWroav6aivG5QJN8YZ5ECgYEA2cB8\
     HwcFuWf8CtCjBTeD8aKrn0B/3EI2/JUkVV6RC0hQB0r//eFypIy2AhaNCCh+/UYKYRcHAPdQft8VT9XeuUJovgY1jU\
     TWxeiRNFjwqPnFZAoCNDyShi5q8V00L5irtYkcBFMOJj37BzQyQ15O84GKcxPeWzUQ/1K+E10od3ECgYEAyL1BGsxW\
     tP4/RreFaXkVLBtqucy/PhqXPs/zid/N6TlU+GvWYXPHEUJyvvogpS5Gysfs4Dy1KgagK9zp/z+utQAqTe9Lq3lMC9\
     ZpS4q9ui25LRj4E3NbXdsJbCC+Ir3y+DBM62Wk4x2VoTZibPYpsIvD2K0RxcpvOqixIoFXJTUCgYB5aDTMJ+ItKakB\
     bqo18moCg6wkspWXfOOjmJQVdRBxtfPI3Sw1pUmCLWIdb+1aKxoCpNaMo4YoJ7wdwMvlI1129Wvo5xVcmpEU70JmaW\
     BlFj3UNTBdZ5hab+74e/rovrqeEMAqORSehdg8gAG2RhLG+ebzmpRTThcYBE4uBbbWQQKBgHDgmt9qz8buwL4PLGHm\
     yFUJBbZ8v304jpuva4633p2qs3ENknsyE1pNNyDUnc7EeuJEEZr2CBkdqKuBicMSGDeHZEJ2sOI3Tt/JLWRhG9a5J0\
     uIotatI09ff6jhsIjwrtOItXgYq+NaG22Pm0ESGtc/gF0y1K+X6Xvep9xzRoGRAoGAJ8QjxO2wNF0zeAjfc1g/ALEb\
     bti4KvEiL7np0b2cWy4C2h4jLHkO34rKpI4+I4AkgjgHelrVI8Bvs0sV+S5NmlxCDbWd1BLLS71OCrC0PzE8quUmD4\
     NX74IhxO/aUyhJM/BIWbMjKdVXXoJhY3nWHG1Pbpl71vQFs6NLDft5bD0=",
    members: &[
        ("kty", "RSA"),
        (
            "n",
            "qr9bdItER4hPbis1hvsZdTcSaijftoDqONwzrq9jN8Q7f3FB-dhfI1_Cosyb_NpYhHCQyMAmFE_4JRMS_AJY6KYPHk\
     zxktZAczKK1kJAzErMSHo2dCUUjwqOgGMlkog04M2ts8eMXYhHjidYgm8Y6RCFLdZAjuMM0vcPEVWZNN3to-\
     4ezHF7LCw_C0xgewDreRW53UTd0IK16E_M9Ecob35k7tgk47_mlbzbt_D_-euwGCRZcZip2eRK_eCKI7dmW3ckHZ8a\
     X5985heKHCBxmrbfwOT207wiAaD84mF22Ex1CsHN91DwUBAx_4EJ80OdNAt0esz1y-qCPTFrqwsPZQ",
        ),
        ("e", "AQAB"),
    ],
};

/// RSA with 1024 bits, which is too few.
pub const WEAK_RSA: Key = Key {
    kid: "rsa-weak",
    algorithm: Algorithm::RS256,
    secret: "MIICXwIBAAKBgQDn/m5QAFnXd8WmyGeItWeqO6lGxXjK1xlzH9vUNLF4eutTx+2H7iG17kBxZM83U373id0fCB0oNL\
     1tneAANiD7LJguR6/PfgTv5tg95DfPWb3kr99JEEECQIGoYKUJWO0Ra7QuFHTQdQWWUUlrB0Du5AsFSp3H7WMW9ls2\
     7Vg6IQIDAQABAoGBANglUZnv+cSqrthJd00D1uXgWEK70WMLLYb5c9MulPrvaznP2BsBXx8mL5x2lCmz/WOcawxyft\
     fq62Kp6P3JcMdN8MAz2Y4eXCHnBnbwDc0iTyuJmdICiWaBW2AjaD5TVnQlkTKKbnImBrB66lzeX34x1b3MhRYxZk5x\
     vRpNqabBAkEA+cVgdADft4ym+oPmqZjx3CO7JIjNUpJMDxQ4+9MynmjWaFmsPGmNDxpkOOinxPST4FVicXqud94QNf\
     cTCSVpLQJBAO3HjxHPbewpBuKItNj2pzif0quhxGwdH6I75+k0GyMCclapx8crOacNKXfwxV50SI++FwYjARTNfev2\
     aU8pBUUCQQCpA0moVasM7k1TeYvNOaR33WnWaAfgFwUGsx14MkqvbKuhQwTMgHQmQyqMY8qa+RFTnROXTHfgvtBjZA\
     RqjPklAkEA3GWevTlxf/a/RPbF+l0VvqyVjzTQZg3QpoW0fjon9RltddrFLF1qgOb4Sw5HQzexklr16GBFvkyCrVan\
     YhJ5qQJBAOhw+K9W3ziC8/2u3wAO2KnnQVyzXWDMh2hx2tVoA1XVUeXLsn0G9QlYwZrSzXMOGl9r4mujxJ+kI/8Fhi\
     8G6a8=",
    members: &[
        ("kty", "RSA"),
        (
            "n",
            "5_5uUABZ13fFpshniLVnqjupRsV4ytcZcx_b1DSxeHrrU8fth-4hte5AcWTPN1N-94ndHwgdKDS9bZ3gADYg-\
     yyYLkevz34E7-bYPeQ3z1m95K_fSRBBAkCBqGClCVjtEWu0LhR00HUFllFJawdA7uQLBUqdx-1jFvZbNu1YOiE",
        ),
        ("e", "AQAB"),
    ],
};
