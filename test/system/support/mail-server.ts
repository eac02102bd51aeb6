import type { AddressInfo } from 'node:net';
import { simpleParser } from 'mailparser';
import { SMTPServer } from 'smtp-server';

/** A message as a mail program shows it. */
export interface Mail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  /** Whether it came over TLS. */
  readonly secure: boolean;
}

/** A mail server that asks for STARTTLS and a password. Its certificate is signed by nobody. */
export interface MailServer {
  readonly port: number;
  readonly messages: Mail[];
  /** The password that it takes. */
  password: string;
  /** How many senders it still puts off. */
  busy: number;
  /** Forgets messages and what was changed. */
  reset(): void;
  close(): Promise<void>;
}

/** Starts a mail server on a free port. */
export async function startMailServer(account: {
  readonly user: string;
  readonly password: string;
}): Promise<MailServer> {
  const state = { messages: [] as Mail[], password: account.password, busy: 0 };
  const server = new SMTPServer({
    authOptional: false,
    onAuth: ({ username, password }, _session, answer) => {
      if (username === account.user && password === state.password) answer(null, { user: username });
      else answer(new Error('535 authentication failed'));
    },
    onMailFrom: (_address, _session, answer) => {
      if (state.busy-- > 0) answer(Object.assign(new Error('try again later'), { responseCode: 451 }));
      else answer();
    },
    onData: (stream, session, answer) => {
      simpleParser(stream).then(({ to, subject = '', text = '' }) => {
        const addresses = [to ?? []].flat().map((address) => address.text);
        state.messages.push({ to: addresses.join(', '), subject, text, secure: session.secure });
        answer();
      }, answer);
    },
  });
  server.on('error', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.server.address() as AddressInfo;
  return Object.assign(state, {
    port,
    reset: () => {
      state.messages.length = 0;
      state.password = account.password;
      state.busy = 0;
    },
    close: async () => {
      await new Promise<void>((resolve) => server.close(resolve));
    },
  });
}
