// A certified OpenID Connect provider with one client. It asks for a name and any password, and then for consent.
//
// PEOPLE is a file with the claims of each name, read at each request. Run in the folder that has the packages, it prints
// its issuer once it listens: an address of ADDRESS, and the port PORT or, with 0, one that is free.

import fs from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';

const { Provider } = createRequire(`${process.cwd()}/`)('oidc-provider');
const { ADDRESS, PORT, CERTIFICATE, KEY, PEOPLE, CLIENT } = process.env;

const claimsOf = (name) => JSON.parse(fs.readFileSync(PEOPLE))[name];

const server = https.createServer({ cert: fs.readFileSync(CERTIFICATE), key: fs.readFileSync(KEY) });
server.listen(Number(PORT), ADDRESS, () => {
  const issuer = `https://${ADDRESS}:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [JSON.parse(CLIENT)],
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['groups', 'name', 'preferred_username'],
    },
    cookies: { keys: ['of the tests'] },
    features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
    findAccount: (_, name) => claimsOf(name) && { accountId: name, claims: () => claimsOf(name) },
    pkce: { required: () => true },
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
