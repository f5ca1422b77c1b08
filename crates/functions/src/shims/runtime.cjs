// Loads a Node.js handler and runs it behind the AWS Lambda Runtime API.
//
// Written by Bourn at start; changes are overwritten. Needs Node.js 16 and nothing else.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { Writable } = require("node:stream");
const { pathToFileURL } = require("node:url");

const root = process.env.LAMBDA_TASK_ROOT;
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const base = "/2018-06-01/runtime";
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const STREAMED = Symbol("streamed");
let idle = () => {};

class Fault extends Error {
  constructor(kind, message) {
    super(message);
    this.name = kind;
  }
}

// Handlers that stream are collected and answered whole.
globalThis.awslambda = {
  streamifyResponse: (handler) => Object.assign(handler, { [STREAMED]: true }),
  HttpResponseStream: { from: (stream) => stream },
};

function call(method, place, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const sent = body === undefined ? headers : { ...headers, "Content-Length": Buffer.byteLength(body) };
    const options = { host, port, method, path: base + place, agent, headers: sent };
    const request = http.request(options, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) });
      });
    });
    request.on("error", reject);
    request.on("socket", (socket) => socket.setNoDelay(true));
    request.end(body);
  });
}

function failure(error) {
  if (!(error instanceof Error)) {
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  }
  const trace = (error.stack || "").split("\n");
  return { errorType: error.name || "Error", errorMessage: error.message, trace };
}

async function load(handler) {
  const match = /^(.*?)([^/\\.][^/\\]*)\.([^/\\.]+)$/.exec(handler);
  if (!match) throw new Fault("Runtime.MalformedHandlerName", `Bad handler '${handler}'`);
  const [, folder, name, field] = match;
  const stem = path.resolve(root, folder, name);
  const file = ["", ".js", ".mjs", ".cjs"].map((end) => stem + end).find((file) => {
    return fs.existsSync(file) && fs.statSync(file).isFile();
  });
  if (!file) {
    throw new Fault("Runtime.ImportModuleError", `Error: Cannot find module '${folder}${name}'`);
  }
  let module;
  try {
    module = await import(pathToFileURL(file).href);
  } catch (error) {
    if (error instanceof SyntaxError) {
      error.name = "Runtime.UserCodeSyntaxError";
    } else if (error && (error.code === "ERR_MODULE_NOT_FOUND" || error.code === "MODULE_NOT_FOUND")) {
      error.name = "Runtime.ImportModuleError";
    }
    throw error;
  }
  const found = module[field] !== undefined ? module[field] : module.default && module.default[field];
  if (found === undefined) {
    throw new Fault("Runtime.HandlerNotFound", `${handler} is undefined or not exported`);
  }
  if (typeof found !== "function") {
    throw new Fault("Runtime.HandlerNotFound", `${handler} is not a function`);
  }
  return found;
}

function context(headers, settle) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"] || 0);
  const json = (name) => (headers[name] ? JSON.parse(headers[name]) : undefined);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    clientContext: json("lambda-runtime-client-context"),
    identity: json("lambda-runtime-cognito-identity"),
    getRemainingTimeInMillis: () => Math.max(deadline - Date.now(), 0),
    done: (error, result) => settle(error, result),
    fail: (error) => settle(error || new Error("handled")),
    succeed: (result) => settle(null, result),
  };
}

async function stream(handler, event, headers) {
  const chunks = [];
  const sink = new Writable({
    write(chunk, encoding, done) {
      chunks.push(Buffer.from(chunk, encoding));
      done();
    },
  });
  sink.setContentType = () => {};
  const finished = new Promise((resolve, reject) => sink.on("finish", resolve).on("error", reject));
  await handler(event, sink, context(headers, () => {}));
  if (!sink.writableEnded) sink.end();
  await finished;
  return Buffer.concat(chunks);
}

function whole(handler, event, headers) {
  return new Promise((resolve, reject) => {
    const settle = (error, result) => (error === null || error === undefined ? resolve(result) : reject(error));
    // A handler with a callback that it never calls is done once nothing more can happen.
    idle = () => resolve(null);
    const result = handler(event, context(headers, settle), settle);
    if (result && typeof result.then === "function") {
      result.then(resolve, reject);
    } else if (result !== undefined) {
      resolve(result);
    }
  }).then((result) => {
    try {
      const text = JSON.stringify(result === undefined ? null : result);
      return text === undefined ? "null" : text;
    } catch (error) {
      throw new Fault("Runtime.MarshalError", `Unable to stringify response body: ${error.message}`);
    }
  });
}

async function serve(handler) {
  for (;;) {
    const { status, headers, body } = await call("GET", "/invocation/next");
    if (status !== 200) throw new Error(`the next event was refused with status ${status}: ${body}`);
    const id = headers["lambda-runtime-aws-request-id"];
    process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"] || "";
    let place = `/invocation/${id}/response`;
    let more = { "Content-Type": "application/json" };
    let answer;
    try {
      const event = JSON.parse(body.toString("utf8"));
      answer = await (handler[STREAMED] ? stream : whole)(handler, event, headers);
    } catch (error) {
      const report = failure(error);
      console.error(`ERROR\tInvoke Error\t${JSON.stringify(report)}`);
      answer = JSON.stringify(report);
      place = `/invocation/${id}/error`;
      more = { ...more, "Lambda-Runtime-Function-Error-Type": header(report.errorType) };
    }
    await call("POST", place, answer, more);
  }
}

function header(text) {
  return String(text).replace(/[^\x20-\x7e]/g, "?");
}

async function die(error, kind) {
  const report = failure(error);
  if (kind) report.errorType = kind;
  console.error(`ERROR\tUncaught Exception\t${JSON.stringify(report)}`);
  process.exit(129);
}

async function main() {
  let handler;
  try {
    handler = await load(process.env._HANDLER || "");
  } catch (error) {
    const report = failure(error);
    console.error(`ERROR\tInit Error\t${JSON.stringify(report)}`);
    const more = { "Lambda-Runtime-Function-Error-Type": header(report.errorType) };
    await call("POST", "/init/error", JSON.stringify(report), more);
    process.exit(1);
  }
  process.on("uncaughtException", (error) => die(error));
  process.on("unhandledRejection", (error) => die(error, "Runtime.UnhandledPromiseRejection"));
  process.on("beforeExit", () => idle());
  await serve(handler);
}

main().catch((error) => die(error));
