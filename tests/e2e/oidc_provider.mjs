// An authorization server that tokenward's authors did not write: npm's oidc-provider, strict.
// Usage: node oidc_provider.mjs <node_modules> <public JWK of the client that signs>; the first line on standard output is the issuer.
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const { default: Provider } = await import(pathToFileURL(`${process.argv[2]}/oidc-provider/lib/index.js`));
const grants = ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"];
const client = (client_id, more) => ({
  client_id,
  application_type: "native",
  redirect_uris: ["http://127.0.0.1/callback"],
  grant_types: grants,
  response_types: ["code"],
  ...more,
});
let answer = (_request, response) => response.end();
const server = createServer((request, response) => answer(request, response));
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      client("acme-cli", { token_endpoint_auth_method: "none" }),
      client("acme-basic", { client_secret: "s+e/c:ret%", token_endpoint_auth_method: "client_secret_basic" }),
      client("acme-post", { client_secret: "s+e/c:ret%", token_endpoint_auth_method: "client_secret_post" }),
      client("acme-signed", {
        token_endpoint_auth_method: "private_key_jwt",
        token_endpoint_auth_signing_alg: "ES256",
        jwks: { keys: [JSON.parse(process.argv[3])] },
      }),
    ],
    features: {
      devInteractions: { enabled: true },
      deviceFlow: { enabled: true, charset: "base-20", mask: "****-****" },
      revocation: { enabled: true },
    },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: async () => true,
    expiresWithSession: async () => false,
    cookies: { keys: ["of a test"] },
    ttl: { AccessToken: 3600, RefreshToken: 86400, Session: 3600, Interaction: 3600, Grant: 86400, DeviceCode: 600 },
  });
  answer = provider.callback();
  console.log(issuer);
});
