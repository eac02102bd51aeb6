import { createServer, type AddressInfo, type Socket } from 'node:net';

/** A mail server that keeps what it is given, or refuses. */
export interface SmtpServer {
  readonly url: string;
  /** Messages with headers, as they came. */
  readonly messages: string[];
  /** How often it still refuses a sender. */
  refusals: number;
  close(): Promise<void>;
}

/** Starts a mail server on a free port. */
export async function startSmtpServer(): Promise<SmtpServer> {
  const messages: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    talk(socket, smtp);
  });
  const smtp: SmtpServer = {
    url: '',
    messages,
    refusals: 0,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(smtp, { url: `smtp://127.0.0.1:${port}` });
}

function talk(socket: Socket, smtp: SmtpServer): void {
  const say = (line: string) => socket.write(`${line}\r\n`);
  let buffered = '';
  let receiving = false;
  say('220 test');
  socket.on('data', (chunk) => {
    buffered += chunk.toString();
    for (;;) {
      const end = buffered.indexOf(receiving ? '\r\n.\r\n' : '\r\n');
      if (end < 0) return;
      const text = buffered.slice(0, end);
      buffered = buffered.slice(end + (receiving ? 5 : 2));
      if (receiving) {
        smtp.messages.push(text);
        receiving = false;
        say('250 taken');
      } else {
        receiving = answer(text, { say, smtp, socket });
      }
    }
  });
}

/** Whether the message itself comes next. */
function answer(
  line: string,
  { say, smtp, socket }: { say: (line: string) => unknown; smtp: SmtpServer; socket: Socket },
): boolean {
  const verb = line.slice(0, 4).toUpperCase();
  if (verb === 'QUIT') socket.end('221 bye\r\n');
  else if (verb === 'MAIL' && smtp.refusals-- > 0) say('451 try again later');
  else say(verb === 'DATA' ? '354 go on' : '250 ok');
  return verb === 'DATA';
}
