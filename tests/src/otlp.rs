// SPDX-License-Identifier: MIT
//! Requests of OTLP, decoded by OpenTelemetry's own classes.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::http::Request;
use crate::wait::outcome;

/// The package of PyPI that decodes.
pub const PACKAGE: &str = "opentelemetry.proto.logs.v1.logs_pb2";

/// Prints a request, which is compressed, as JSON.
const DECODE: &str = "
import gzip, json, sys
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
kinds = {'metrics': ExportMetricsServiceRequest, 'logs': ExportLogsServiceRequest}
message = kinds[sys.argv[1]].FromString(gzip.decompress(open(sys.argv[2], 'rb').read()))
print(json.dumps(MessageToDict(message)))
";

/// A request as JSON. Needs a directory for a file.
#[must_use]
#[track_caller]
pub fn decoded(python: &Path, dir: &Path, request: &Request) -> Value {
    let file = dir.join("request");
    fs::write(&file, &request.body).unwrap();
    assert_eq!(request.header("Content-Type"), Some("application/x-protobuf"));
    assert_eq!(request.header("Content-Encoding"), Some("gzip"));
    let kind = request.path.rsplit('/').next().unwrap();
    let mut decode = Command::new(python);
    decode.args(["-c", DECODE, kind]).arg(file);
    serde_json::from_str(&outcome(&mut decode).succeeded().stdout).unwrap()
}

/// The attributes in a list, as `name=value`.
#[must_use]
#[track_caller]
pub fn attributes(list: &Value) -> Vec<String> {
    let one = |pair: &Value| {
        let (_, value) = pair["value"].as_object().unwrap().iter().next().unwrap();
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{}={text}", pair["key"].as_str().unwrap())
    };
    list.as_array().map_or(Vec::new(), |list| list.iter().map(one).collect())
}

/// A metric of a request.
#[must_use]
#[track_caller]
pub fn metric<'r>(request: &'r Value, name: &str) -> &'r Value {
    let metrics = request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let found = metrics.iter().find(|metric| metric["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {metrics:?}"))
}

/// The records of a request.
#[must_use]
#[track_caller]
pub fn records(request: &Value) -> &[Value] {
    request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap()
}
