// Checks an AsyncAPI 3.0 document, given by its path, against the specification's own JSON schema,
// and that every payload's schema is one: `node asyncapi.mjs asyncapi.json`.
import { readFileSync } from "node:fs";
import specs from "@asyncapi/specs";
import { Ajv } from "ajv";

const document = JSON.parse(readFileSync(process.argv[2], "utf8"));
const options = { strict: false, allErrors: true, validateFormats: false };

// The specification's schema brings the one of JSON schema along.
const validate = new Ajv({ ...options, meta: false }).compile(specs.schemas["3.0.0"]);
if (!validate(document)) {
  console.error(validate.errors.map(({ instancePath, message }) => `${instancePath} ${message}`).join("\n"));
  process.exit(1);
}

// Compiling a schema follows its references.
const ajv = new Ajv(options);
ajv.addSchema({ $id: "document", components: document.components });
let schemas = 0;
for (const channel of Object.values(document.channels)) {
  for (const message of Object.values(channel.messages)) {
    ajv.compile(JSON.parse(JSON.stringify(message.payload).replaceAll('"#/', '"document#/')));
    schemas += 1;
  }
}
console.log(`AsyncAPI ${document.asyncapi}, ${schemas} messages`);
