// oidc-provider with opaque and JWT access tokens, introspection, revocation and rotation of refresh tokens.
// Prints its issuer on a line; ends when its standard input does.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const RESOURCES = {
  "https://mcp.example/opaque": { accessTokenFormat: "opaque" },
  "https://mcp.example/jwt": { accessTokenFormat: "jwt", jwt: { sign: { alg: "RS256" } } },
};
const CALLBACK = "http://127.0.0.1:51004/callback";

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "desktop",
        application_type: "native",
        token_endpoint_auth_method: "none",
        redirect_uris: [CALLBACK],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
      },
      {
        // Its name and secret need form-encoding in Basic (RFC 6749, section 2.3.1).
        client_id: "documents server",
        client_secret: "planted:secret+of/the=server%41",
        redirect_uris: [],
        grant_types: ["client_credentials"],
        response_types: [],
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: async () => true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: async () => true,
        getResourceServerInfo: async (ctx, resource) => ({
          scope: "documents:read documents:write",
          audience: resource,
          accessTokenTTL: 600,
          ...RESOURCES[resource],
        }),
      },
    },
    scopes: ["openid", "offline_access"],
    issueRefreshToken: async () => true,
    rotateRefreshToken: true,
    extraTokenClaims: async (ctx, token) => ({ roles: ["editor"], tenant: "acme" }),
    pkce: { required: () => true },
    cookies: { keys: ["for a test"] },
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
process.stdin.on("end", () => process.exit(0)).resume();
