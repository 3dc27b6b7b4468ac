/* The mock server by itself, for `npm run dev`: npm run mock -- [port] [folder of a built UI]. */
import { MockServer, EMAIL, PASSWORD } from './server';

const mock = new MockServer(process.argv[3] ?? 'dist');
const url = await mock.listen(Number(process.argv[2] ?? 8089));
setInterval(() => mock.tell('round', { testId: '1', roundId: mock.world.latest(), agentId: '1' }), 60_000);
process.stdout.write(`mock server on ${url}, sign in as ${EMAIL} with “${PASSWORD}”\n`);
