//! Signatures that others made: AWS's published examples, and botocore's for this port's requests.

use super::*;
use bourn_config::Secret;
use bourn_event::ManualClock;
use http::Request;

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2015-08-30T12:36:00Z, the time of AWS's examples.
const AT: Micros = 1_440_938_160_000_000;
const MINUTE: Micros = 60_000_000;

fn verifier(at: Micros) -> Verifier {
    let key = AccessKey { id: KEY.into(), secret: Secret::new(SECRET) };
    let other = AccessKey { id: "AKIDOTHER".into(), secret: Secret::new("other") };
    Verifier::new(vec![other, key], Arc::new(ManualClock::at(at)))
}

struct Case {
    service: &'static str,
    method: &'static str,
    uri: &'static str,
    headers: &'static [(&'static str, &'static str)],
    signed: &'static str,
    body: &'static str,
    signature: &'static str,
}

fn head(case: &Case) -> Parts {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={KEY}/20150830/us-east-1/{}/aws4_request, SignedHeaders={}, Signature={}",
        case.service, case.signed, case.signature
    );
    let mut request = Request::builder().method(case.method).uri(case.uri);
    for (name, value) in case.headers {
        request = request.header(*name, *value);
    }
    let request = request.header("X-Amz-Date", "20150830T123600Z").header("Authorization", authorization);
    request.body(()).expect("a request").into_parts().0
}

fn verify(verifier: &Verifier, head: &Parts, service: &str, body: &str) -> Result<(), SignatureFault> {
    let pending = verifier.begin(head, service)?.expect("there are keys");
    pending.finish(head, body.as_bytes())
}

/// AWS's Signature Version 4 test suite (`get-vanilla` and its neighbours) and the IAM example of its guide.
#[rustfmt::skip]
const PUBLISHED: [Case; 6] = [
    Case { service: "service", method: "GET", uri: "/", headers: &[("host", "example.amazonaws.com")],
        signed: "host;x-amz-date", body: "",
        signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
    Case { service: "service", method: "POST", uri: "/", headers: &[("host", "example.amazonaws.com")],
        signed: "host;x-amz-date", body: "",
        signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b" },
    Case { service: "service", method: "GET", uri: "/?Param2=value2&Param1=value1",
        headers: &[("host", "example.amazonaws.com")], signed: "host;x-amz-date", body: "",
        signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
    Case { service: "service", method: "GET", uri: "/",
        headers: &[("host", "example.amazonaws.com"), ("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")],
        signed: "host;my-header1;my-header2;x-amz-date", body: "",
        signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
    Case { service: "service", method: "POST", uri: "/",
        headers: &[("host", "example.amazonaws.com"), ("Content-Type", "application/x-www-form-urlencoded")],
        signed: "content-type;host;x-amz-date", body: "Param1=value1",
        signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a" },
    Case { service: "iam", method: "GET", uri: "/?Action=ListUsers&Version=2010-05-08",
        headers: &[("host", "iam.amazonaws.com"), ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")],
        signed: "content-type;host;x-amz-date", body: "",
        signature: "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7" },
];

/// As botocore 1.44 signs what it sends here.
#[rustfmt::skip]
const OF_CLIENTS: [Case; 4] = [
    Case { service: "states", method: "POST", uri: "/",
        headers: &[("Host", "127.0.0.1:8686"), ("X-Amz-Target", "AWSStepFunctions.ListStateMachines"),
            ("Content-Type", "application/x-amz-json-1.0")],
        signed: "content-type;host;x-amz-date;x-amz-target", body: "{}",
        signature: "44414aa9de4871b27810bb00fa44425a91da72edb59f86d8ec5c71dc9131781f" },
    Case { service: "lambda", method: "POST",
        uri: "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Aecho/invocations?Qualifier=%24LATEST",
        headers: &[("Host", "127.0.0.1:8686"), ("X-Amz-Invocation-Type", "RequestResponse")],
        signed: "host;x-amz-date;x-amz-invocation-type", body: "{\"a\": 1}",
        signature: "5c2f8e125f8164dcb4fe2a9f5e19cecd76caffb9f060195df8fa5bed1a2257a0" },
    Case { service: "service", method: "GET", uri: "/example/../a//b/./c/",
        headers: &[("Host", "example.amazonaws.com")], signed: "host;x-amz-date", body: "",
        signature: "e831ebc7260d07fb5c2c3bab4448ff6f2091c5c3bc8749b79e53d01778633b5e" },
    Case { service: "service", method: "GET", uri: "/%E1%88%B4",
        headers: &[("Host", "example.amazonaws.com")], signed: "host;x-amz-date", body: "",
        signature: "697b34846207a3f72246f99d74ae1ee4fe54f44bb06730c58a0d339eb079596d" },
];

#[test]
fn published_and_real_signatures_are_right() {
    let verifier = verifier(AT);
    for case in PUBLISHED.iter().chain(&OF_CLIENTS) {
        let verified = verify(&verifier, &head(case), case.service, case.body);
        assert_eq!(verified, Ok(()), "{} {}", case.method, case.uri);
    }
}

#[test]
fn over_http2_the_host_is_in_the_address() {
    let mut head = head(&PUBLISHED[0]);
    head.headers.remove("host");
    let verified = |uri: &str, head: &mut Parts| {
        head.uri = uri.parse().expect("an address");
        verify(&verifier(AT), head, "service", "")
    };
    assert_eq!(verified("https://example.amazonaws.com/", &mut head), Ok(()));
    assert_eq!(verified("https://evil.example/", &mut head), Err(SignatureFault::Mismatch));
    assert!(matches!(verified("/", &mut head), Err(SignatureFault::Incomplete(_))), "no host at all");
}

#[test]
fn any_change_of_what_is_signed_is_noticed() {
    let verifier = verifier(AT);
    let case = &OF_CLIENTS[1];
    let changed = |change: &dyn Fn(&mut Parts), body: &str| {
        let mut head = head(case);
        change(&mut head);
        verify(&verifier, &head, case.service, body)
    };
    assert_eq!(changed(&|_| {}, case.body), Ok(()));
    assert_eq!(changed(&|_| {}, "{\"a\": 2}"), Err(SignatureFault::Mismatch));
    assert_eq!(changed(&|_| {}, ""), Err(SignatureFault::Mismatch));
    let set = |name: &'static str, value: &'static str| {
        move |head: &mut Parts| {
            head.headers.insert(name, value.parse().expect("a value"));
        }
    };
    assert_eq!(changed(&set("x-amz-invocation-type", "Event"), case.body), Err(SignatureFault::Mismatch));
    assert_eq!(changed(&set("host", "127.0.0.1:9999"), case.body), Err(SignatureFault::Mismatch));
    assert_eq!(changed(&set("x-amz-date", "20150830T123601Z"), case.body), Err(SignatureFault::Mismatch));
    let method = changed(&|head| head.method = http::Method::PUT, case.body);
    assert_eq!(method, Err(SignatureFault::Mismatch));
    let path =
        |head: &mut Parts| head.uri = "/2015-03-31/functions/echo/invocations".parse().expect("a path");
    assert_eq!(changed(&path, case.body), Err(SignatureFault::Mismatch));
    let unsigned = set("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    assert!(matches!(changed(&unsigned, case.body), Err(SignatureFault::Incomplete(_))));
    let more = set("x-amz-log-type", "Tail");
    assert!(matches!(changed(&more, case.body), Err(SignatureFault::Incomplete(detail))
        if detail.contains("x-amz-log-type")));
}

#[test]
fn a_signature_is_good_for_fifteen_minutes_around_its_time() {
    let cases = [
        (AT - 15 * MINUTE, true),
        (AT - 15 * MINUTE - 1, false),
        (AT + 15 * MINUTE, true),
        (AT + 15 * MINUTE + 1, false),
    ];
    for (now, good) in cases {
        let case = &PUBLISHED[0];
        let verified = verify(&verifier(now), &head(case), case.service, case.body);
        match verified {
            Ok(()) => assert!(good, "{now}"),
            Err(SignatureFault::Expired(detail)) => {
                assert!(!good, "{detail}");
                assert!(detail.contains("20150830T123600Z"), "{detail}");
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

const PRESIGNED: &str = "/2015-03-31/functions?MaxItems=10&X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Flambda%2Faws4_request&X-Amz-Date=20150830T123600Z\
    &X-Amz-Expires=300&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=157c51e2658cdfdfff0125050a7ecaa33f3fc2ebeef70003cc71c2ab06f7213a";

#[test]
fn a_presigned_address_is_good_until_it_expires() {
    let expired = |fault: &SignatureFault| matches!(fault, SignatureFault::Expired(_));
    let mismatch = |fault: &SignatureFault| *fault == SignatureFault::Mismatch;
    let incomplete = |fault: &SignatureFault| matches!(fault, SignatureFault::Incomplete(_));
    type Judge<'a> = Option<&'a dyn Fn(&SignatureFault) -> bool>;
    let cases: [(&str, &str, Micros, Judge<'_>); 7] = [
        ("", "", AT, None),
        ("", "", AT + 5 * MINUTE, None),
        ("", "", AT + 5 * MINUTE + 1, Some(&expired)),
        ("", "", AT - 16 * MINUTE, Some(&expired)),
        ("MaxItems=10", "MaxItems=11", AT, Some(&mismatch)),
        ("Expires=300", "Expires=604801", AT, Some(&incomplete)),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=date", AT, Some(&incomplete)),
    ];
    for (from, to, now, fault) in cases {
        let uri = PRESIGNED.replace(from, to);
        let request = Request::builder().uri(uri).header("Host", "127.0.0.1:8686");
        let head = request.body(()).expect("a request").into_parts().0;
        let verified = verify(&verifier(now), &head, "lambda", "");
        match (fault, &verified) {
            (None, verified) => assert_eq!(*verified, Ok(()), "{from} {to} {now}"),
            (Some(judge), Err(seen)) => assert!(judge(seen), "{from} {to} {now}: {seen:?}"),
            (Some(_), Ok(())) => panic!("{from} {to} {now} was let in"),
        }
    }
}

#[test]
fn heads_that_cannot_be_right_are_refused_by_name() {
    let good = format!(
        "AWS4-HMAC-SHA256 Credential={KEY}/20150830/us-east-1/states/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={}",
        "00".repeat(32)
    );
    let cases = [
        ("", "MissingAuthenticationTokenException"),
        ("Bearer abc", "IncompleteSignatureException"),
        ("AWS4-HMAC-SHA256", "IncompleteSignatureException"),
        ("AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=00", "IncompleteSignatureException"),
        (&good.replace("SignedHeaders=host;x-amz-date, ", ""), "IncompleteSignatureException"),
        (&good.replace("host;", ""), "IncompleteSignatureException"),
        (&good.replace(";x-amz-date", ""), "IncompleteSignatureException"),
        (&good.replace(KEY, "AKIDNOBODY"), "UnrecognizedClientException"),
        (&good.replace("20150830", "20150831"), "InvalidSignatureException"),
        (&good.replace("/states/", "/s3/"), "InvalidSignatureException"),
        (&good.replace("00", "zz"), "InvalidSignatureException"),
        (&good.replace("=00", "="), "InvalidSignatureException"),
        (&good, "InvalidSignatureException"),
    ];
    let verifier = verifier(AT);
    for (authorization, code) in cases {
        let mut request = Request::builder().method("POST").uri("/").header("Host", "localhost");
        if !authorization.is_empty() {
            request = request.header("Authorization", authorization);
        }
        let request = request.header("X-Amz-Date", "20150830T123600Z").body(()).expect("a request");
        let fault = verify(&verifier, &request.into_parts().0, "states", "{}").expect_err(authorization);
        assert_eq!(fault.into_error(http::StatusCode::BAD_REQUEST).code, code, "{authorization}");
    }
}

#[test]
fn without_keys_nothing_is_checked() {
    let verifier = Verifier::new(Vec::new(), Arc::new(ManualClock::at(AT)));
    for authorization in ["", "Bearer abc", "AWS4-HMAC-SHA256 Credential=x"] {
        let request = Request::builder().uri("/").header("Authorization", authorization);
        let head = request.body(()).expect("a request").into_parts().0;
        assert!(verifier.begin(&head, "states").expect("passes").is_none());
    }
}
