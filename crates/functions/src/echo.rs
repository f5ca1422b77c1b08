//! A function that gives back what it gets, as small as a client of the Runtime API can be: what the
//! host adds to an invocation can be measured with it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// Serves events until the host ends the process, or is gone itself.
pub fn echo() -> io::Result<()> {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API")
        .map_err(|_| io::Error::other("AWS_LAMBDA_RUNTIME_API is not set: only a function host runs this"))?;
    let mut stream = TcpStream::connect(&api)?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let next = format!("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {api}\r\n\r\n");
    let mut request = Vec::new();
    loop {
        stream.write_all(next.as_bytes())?;
        let event = answer(&mut reader)?;
        let id = event.request_id.ok_or_else(|| io::Error::other("the event has no request id"))?;
        request.clear();
        write!(
            request,
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: {api}\r\nContent-Length: {}\r\n\r\n",
            event.body.len()
        )?;
        request.extend_from_slice(&event.body);
        stream.write_all(&request)?;
        answer(&mut reader)?;
    }
}

struct Answered {
    request_id: Option<String>,
    body: Vec<u8>,
}

fn answer(reader: &mut impl BufRead) -> io::Result<Answered> {
    let (mut line, mut length, mut request_id) = (String::new(), 0u64, None);
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if !line.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
        return Err(io::Error::other(format!("the host answered {}", line.trim_end())));
    }
    loop {
        line.clear();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(io::Error::other)?;
        } else if name.eq_ignore_ascii_case("lambda-runtime-aws-request-id") {
            request_id = Some(value.trim().to_owned());
        }
    }
    let mut body = Vec::new();
    if reader.take(length).read_to_end(&mut body)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Answered { request_id, body })
}
