// Validates an AsyncAPI document with AsyncAPI's own parser; prints what it finds as JSON.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import { AvroSchemaParser } from "@asyncapi/avro-schema-parser";

const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
const { document, diagnostics } = await parser.parse(readFileSync(process.argv[2], "utf-8"));
const channels = document ? document.channels().all() : [];
console.log(JSON.stringify({
  diagnostics: diagnostics.map((d) => ({ severity: d.severity, code: d.code, message: d.message, path: d.path.join("/") })),
  topics: Object.fromEntries(channels.map((c) => [c.address(), c.messages().all().map((m) => m.name())])),
}));
