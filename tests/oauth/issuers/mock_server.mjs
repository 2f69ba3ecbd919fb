// oauth2-mock-server, told by lines of JSON what its tokens say and when to change its keys.
// Prints its issuer on a line, and a line for each line that it is given; ends when its standard input does.
import { createInterface } from "node:readline";
import { OAuth2Server } from "oauth2-mock-server";

const server = new OAuth2Server();
await server.issuer.keys.generate("RS256", { kid: "first" });
await server.start(0, "127.0.0.1");

let shape = { header: {}, payload: {} };
server.service.on("beforeTokenSigning", (token) => {
  Object.assign(token.header, shape.header);
  Object.assign(token.payload, shape.payload);
  for (const name of shape.without ?? []) delete token.payload[name];
});
console.log(server.issuer.url);

for await (const line of createInterface({ input: process.stdin })) {
  const told = JSON.parse(line);
  if (told.shape) shape = told.shape;
  if (told.generate) await server.issuer.keys.generate(told.generate.alg, { kid: told.generate.kid });
  console.log("done");
}
process.exit(0);
