// Walk through what a guarded document server answers, with the TypeScript SDK's own client and OAuth flow.
//
// Usage: node walk.mjs PACKAGE WIRE SERVER_URL ISSUER_URL [keep-refresh | flood]
//
// PACKAGE is `sdk` (1.x) or `client` (2.x), WIRE a revision of the protocol. Says on stdout, in JSON, what came of
// each step. A person at the keyboard is a click on the development issuer's page.

const [kind, wire, server, issuer, how] = process.argv.slice(2);
const CALLBACK = 'http://127.0.0.1:51004/callback';
const FLOOD = 80;  // calls, more than the guard lets through in a minute

const { Client, StreamableHTTPClientTransport, UnauthorizedError } = kind === 'client'
  ? await import('@modelcontextprotocol/client')
  : {
      ...await import('@modelcontextprotocol/sdk/client/index.js'),
      ...await import('@modelcontextprotocol/sdk/client/streamableHttp.js'),
      ...await import('@modelcontextprotocol/sdk/client/auth.js'),
    };

/** Somebody who signs in by a click, and what the client keeps for them. */
class Person {
  asked = [];  // the scopes of each authorization
  constructor(name) { this.name = name; }
  get redirectUrl() { return CALLBACK; }
  get clientMetadata() { return { client_name: 'walk', redirect_uris: [CALLBACK], token_endpoint_auth_method: 'none' }; }
  clientInformation() { return { client_id: 'desktop', issuer }; }
  tokens() { return this.kept; }
  saveTokens(tokens) {
    // A client of 1.x that has a refresh token uses it on a 403, and gets no more scopes than it had.
    const { refresh_token, ...others } = tokens;
    this.kept = how === 'keep-refresh' ? tokens : others;
  }
  saveCodeVerifier(verifier) { this.verifier = verifier; }
  // Which issuer the code is from (SEP-2352); 2.x wants it kept.
  saveDiscoveryState(state) { this.discovered = state; }
  discoveryState() { return this.discovered; }
  codeVerifier() { return this.verifier; }
  async redirectToAuthorization(url) {
    this.asked.push(url.searchParams.get('scope'));
    const page = await fetch(url);
    const cookie = page.headers.getSetCookie().map(one => one.split(';')[0]).join('; ');
    const request = /name="request" value="([^"]+)"/.exec(await page.text())[1];
    const answer = await fetch(new URL('/authorize', url), {
      method: 'POST',
      redirect: 'manual',
      headers: { Origin: url.origin, Cookie: cookie },
      body: new URLSearchParams({ request, user: this.name }),
    });
    if (answer.status !== 302) throw new Error(`the issuer says ${answer.status}: ${await answer.text()}`);
    this.reply = new URL(answer.headers.get('location')).searchParams;
  }
}

/** A client of somebody's, and the refusals of HTTP that it met. */
class Connected {
  refusals = [];
  constructor(person) { this.person = person; }

  async open() {
    const noting = async (url, init) => {
      const answer = await fetch(url, init);
      if (String(url) === server && answer.status >= 400 && init?.method === 'POST') this.refusals.push(answer.status);
      return answer;
    };
    const options = wire === '2026-07-28' ? { versionNegotiation: { mode: { pin: wire } } } : {};
    this.begin = () => {
      this.client = new Client({ name: 'walk', version: '1' }, options);
      this.transport = new StreamableHTTPClientTransport(new URL(server), { authProvider: this.person, fetch: noting });
    };
    this.begin();
    try {
      await this.client.connect(this.transport);
    } catch (error) {
      if (!(error instanceof UnauthorizedError)) throw error;
      await this.signedIn();
      this.begin();
      await this.client.connect(this.transport);
    }
    return this;
  }

  signedIn() {
    const reply = this.person.reply;
    return kind === 'client' ? this.transport.finishAuth(reply) : this.transport.finishAuth(reply.get('code'));
  }

  /** Call a tool; where the client asks for more scopes first, sign in and call again. */
  async call(name, args = {}) {
    const ask = async () => {
      const result = await this.client.callTool({ name, arguments: args });
      return { text: (result.content ?? []).map(part => part.text).join(' ') };
    };
    try {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof UnauthorizedError)) throw error;
        await this.signedIn();
        return await ask();
      }
    } catch (error) {
      return { error: error.constructor.name, code: error.code, message: error.message, status: error.data?.status };
    }
  }
}

/** Read, write and read again, as somebody who may; the client steps up on its way. */
async function writes(said) {
  const alice = await new Connected(new Person('alice')).open();
  said.before = await alice.call('read_document', { id: 'plan' });
  said.stepUp = await alice.call('write_document', { id: 'plan', body: `Written by ${kind} on ${wire}.` });
  said.after = await alice.call('read_document', { id: 'plan' });
  said.stepUpAsked = alice.person.asked;
  said.stepUpRefusals = alice.refusals;
  await alice.client.close();
}

/** Look around, as somebody who may not do much. */
async function reads(said) {
  const bob = await new Connected(new Person('bob')).open();
  said.asked = bob.person.asked;
  said.tools = (await bob.client.listTools()).tools.map(tool => tool.name);
  said.allowed = await bob.call('list_documents');
  said.otherTenant = await bob.call('read_document', { id: 'notes' });
  said.hidden = await bob.call('count_documents');
  said.refusals = bob.refusals;
  await bob.client.close();
}

/** Call until the guard has enough of it. */
async function floods(said) {
  const carol = await new Connected(new Person('carol')).open();
  for (let count = 0; count < FLOOD && !said.limited; count++) {
    const answer = await carol.call('list_documents');
    if (answer.error) said.limited = answer;
  }
  said.limitedRefusals = carol.refusals;
  await carol.client.close();
}

const said = {};
for (const walk of how === 'flood' ? [floods] : [reads, writes]) await walk(said);
console.log(JSON.stringify(said));
