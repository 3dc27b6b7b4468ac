/*
 * A small internet for developing and checking the UI without a server: six agents, twelve hops, two transit networks,
 * ECMP, an MPLS tunnel, a hop that limits its replies, one that never answers, a link that loses, and agents whose
 * path changes when it begins to. Everything follows from the round's time, so that any round can be asked for again.
 */
import type { Agent, End, Round, RoundPaths, State, Test, TestRow, Timeline } from '../src/lib/types';

export const INTERVAL = 300;
const SALT = 100_257; /* chosen so that in the newest rounds every agent reports and the healthy ones lose nothing */
export const HISTORY = 8 * 86400;

interface Place {
  id: string;
  name: string;
  location: string;
  country: string;
  latitude: number;
  longitude: number;
  isp: number;
  base: number; /* ms to the first shared router */
}

const places: Place[] = [
  { id: '1', name: 'Amsterdam', location: 'Amsterdam Area, Netherlands', country: 'NL', latitude: 52.4, longitude: 4.9, isp: 0, base: 2 },
  { id: '2', name: 'Frankfurt', location: 'Frankfurt, Germany', country: 'DE', latitude: 50.1, longitude: 8.7, isp: 1, base: 4 },
  { id: '3', name: 'London', location: 'London, England', country: 'GB', latitude: 51.5, longitude: -0.1, isp: 0, base: 6 },
  { id: '4', name: 'New York', location: 'New York, United States', country: 'US', latitude: 40.7, longitude: -74, isp: 2, base: 71 },
  { id: '5', name: 'Prague', location: 'Prague, Czechia', country: 'CZ', latitude: 50.1, longitude: 14.4, isp: 1, base: 9 },
  { id: '6', name: 'Singapore', location: 'Singapore', country: 'SG', latitude: 1.3, longitude: 103.8, isp: 2, base: 158 },
];

/* What the server's databases say of the addresses of a network. */
const databases: Record<string, { location: string; prefix: string } | undefined> = {
  'Transit A (AS 64511)': { location: 'Frankfurt, Hesse, Germany', prefix: '203.0.113.0/24' },
  'Transit B (AS 64512)': { location: 'Paris, France', prefix: '192.0.2.0/25' },
  'Example Net (AS 64999)': { location: 'Amsterdam, North Holland, Netherlands', prefix: '198.51.100.192/26' },
};

interface Step {
  address: string | null;
  rdns: string | null;
  network: string | null;
  rtt: number;
  mpls?: string;
  loss?: number;  /* share of what goes on from here that is lost, and of what comes after */
  limit?: number; /* share of probes to it that it answers */
}

function noise(...parts: number[]): number {
  let hash = 2166136261;
  for (const part of parts) {
    hash = Math.imul(hash ^ (part & 0xffff), 16777619);
    hash = Math.imul(hash ^ (part >>> 16), 16777619);
  }
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 2246822507);
  hash ^= hash >>> 13;
  return (hash >>> 0) / 4294967296;
}

export class World {
  age = HISTORY; /* of the tests */
  readonly start: number;
  tests: Test[];
  agents: Agent[];
  #nextTest = 9;

  constructor(now = Math.floor(Date.now() / 1000)) {
    this.start = Math.floor(now / INTERVAL) * INTERVAL;
    this.agents = places.map((place) => ({
      agentId: place.id,
      agentName: place.name,
      agentType: 'enterprise',
      agentState: 'online',
      enabled: true,
      location: place.location,
      countryId: place.country,
      hostname: `probe-${place.name.toLowerCase().replace(' ', '-')}`,
      ipAddresses: [`10.${place.id}.0.2`, `2001:db8:${place.id}::2`],
      lastSeen: new Date(now * 1000 - Number(place.id) * 3000).toISOString(),
      oculi: { version: '0.1.0', clockOffset: 0.41 },
    }));
    this.tests = [
      this.#test('1', 'Customer portal', 'app.example.net:443', places.map((place) => place.id)),
      this.#test('2', 'Payments API', 'pay.example.net:443', ['1', '2', '3']),
      { ...this.#test('3', 'VPN gateway', 'vpn.example.org', ['1', '4']), continuousMode: true },
      { ...this.#test('4', 'Old intranet', 'intranet.example.org:80', ['2']), enabled: false },
    ];
  }

  #test(testId: string, testName: string, server: string, agents: string[]): Test {
    return {
      testId, testName, type: 'agent-to-server', interval: INTERVAL, enabled: true, server, protocol: server.includes(':') ? 'tcp' : 'icmp',
      probeMode: 'auto', numPathTraces: 3, pathTraceMode: 'classic', ipv6Policy: 'use-agent-policy', dscpId: '0', continuousMode: false,
      randomizedStartTime: false, alertsEnabled: false, agents: agents.map((agentId) => ({ agentId })),
    };
  }

  create(body: Record<string, unknown>): Test {
    const test = { ...this.#test(String(this.#nextTest++), '', '', []), ...body } as Test;
    this.tests.push(test);
    return test;
  }

  isFault(round: number): boolean {
    const age = this.start - round;
    return (age >= -86400 && age <= 130 * 60) || (age >= 13 * 3600 && age <= 13 * 3600 + 900);
  }

  #transit(place: Place, round: number): 'a' | 'b' {
    if (place.id === '2' || place.id === '5') return this.isFault(round) ? 'a' : 'b';
    return place.isp === 0 ? 'b' : 'a';
  }

  #steps(place: Place, flow: number, round: number): Step[] {
    const p = Number(place.id);
    const ecmp = (flow + p) % 2;
    const base = place.base;
    const fault = this.isFault(round) ? 0.55 : 0;
    const steps: Step[] = [
      { address: `10.${p}.0.1`, rdns: null, network: null, rtt: 0.4 },
      { address: `100.64.${p}.1`, rdns: null, network: `Access ${place.isp} (AS 6450${place.isp})`, rtt: 1.6 },
      { address: `100.64.${p}.9`, rdns: `edge1.access${place.isp}.example`, network: `Access ${place.isp} (AS 6450${place.isp})`, rtt: 2.1 },
      { address: `100.64.${20 + place.isp}.${1 + ecmp}`, rdns: `core${ecmp + 1}.access${place.isp}.example`, network: `Access ${place.isp} (AS 6450${place.isp})`, rtt: 2.8 },
    ];
    if (this.#transit(place, round) === 'a') {
      steps.push(
        { address: `203.0.113.${1 + ecmp}`, rdns: `in${ecmp + 1}.transit-a.example`, network: 'Transit A (AS 64511)', rtt: base + 3 },
        { address: '203.0.113.10', rdns: 'p1.transit-a.example', network: 'Transit A (AS 64511)', rtt: base + 4, mpls: 'L=24015,E=0,S=1,T=1' },
        { address: '203.0.113.14', rdns: 'p2.transit-a.example', network: 'Transit A (AS 64511)', rtt: base + 5, mpls: 'L=24102,E=0,S=1,T=1' },
        { address: '203.0.113.20', rdns: 'out1.transit-a.example', network: 'Transit A (AS 64511)', rtt: base + 6, loss: fault },
      );
    } else {
      steps.push(
        { address: `192.0.2.${1 + ecmp}`, rdns: `in${ecmp + 1}.transit-b.example`, network: 'Transit B (AS 64512)', rtt: base + 3 },
        { address: '192.0.2.9', rdns: 'slow.transit-b.example', network: 'Transit B (AS 64512)', rtt: base + 4, limit: 0.35 },
        { address: `192.0.2.${17 + ecmp}`, rdns: `out${ecmp + 1}.transit-b.example`, network: 'Transit B (AS 64512)', rtt: base + 5 },
      );
    }
    steps.push(
      { address: `198.51.100.${33 + ((p + flow) % 2)}`, rdns: 'ix.example', network: 'Exchange (AS 64513)', rtt: base + 7 },
      { address: `198.51.100.${201 + ecmp}`, rdns: `cr${ecmp + 1}.edge.example.net`, network: 'Example Net (AS 64999)', rtt: base + 7.6 },
    );
    if (ecmp === 1) steps.push({ address: null, rdns: null, network: 'Example Net (AS 64999)', rtt: base + 8 });
    else steps.push({ address: '198.51.100.225', rdns: 'lb.example.net', network: 'Example Net (AS 64999)', rtt: base + 8 });
    steps.push({ address: '198.51.100.250', rdns: 'app.example.net', network: 'Example Net (AS 64999)', rtt: base + 8.4 });
    return steps;
  }

  reports(test: Test, place: Place, round: number): boolean {
    const gap = this.start - round;
    if (gap > 20.4 * 3600 && gap < 20.9 * 3600) return false;
    return noise(this.#slot(round), Number(place.id), Number(test.testId), 5) > 0.006;
  }

  metrics(test: Test, place: Place, round: number): Record<string, number | null> {
    const t = Number(test.testId);
    const p = Number(place.id);
    const isBad = t === 1 && this.isFault(round) && this.#transit(place, round) === 'a';
    const wave = Math.sin(this.#slot(round) / 8 + p);
    const loss = isBad ? Math.round(30 + 20 * wave + 25 * noise(this.#slot(round), p, 7)) : noise(this.#slot(round), p, t, 8) > 0.97 ? 2 : 0;
    const latency = place.base + 8.4 + wave + noise(this.#slot(round), p, 9) * 2 + (isBad ? 6 : 0);
    const jitter = 0.3 + noise(this.#slot(round), p, 10) * 0.8 + (isBad ? 4 : 0);
    if (loss >= 100) return { loss: 100, avgLatency: null, jitter: null, maxLatency: null };
    return { loss, avgLatency: latency, jitter, maxLatency: latency + jitter * 4 };
  }

  place(id: string): Place | undefined {
    return places.find((place) => place.id === id);
  }

  of(test: Test): Place[] {
    return (test.agents ?? []).map(({ agentId }) => this.place(agentId)).filter((place): place is Place => place !== undefined);
  }

  /* What chance does is counted from the newest round, so that the world is the same whenever it is made. */
  #slot(round: number): number {
    return (round - this.start) / INTERVAL + SALT;
  }

  latest(now = Math.floor(Date.now() / 1000)): number {
    return Math.floor(now / INTERVAL) * INTERVAL;
  }

  state(loss: number | null | undefined): State {
    return loss === null || loss === undefined ? 'no-data' : loss >= 50 ? 'critical' : loss >= 10 ? 'major' : loss >= 1 ? 'minor' : 'ok';
  }

  row(test: Test): TestRow {
    const latest = this.latest();
    const mean = (round: number): number | null => {
      const values = this.of(test).filter((place) => this.reports(test, place, round)).map((place) => this.metrics(test, place, round).loss as number);
      return values.length > 0 ? values.reduce((a, b) => a + b, 0) / values.length : null;
    };
    const isNew = Number(test.testId) >= 9;
    const value = test.enabled && !isNew ? mean(latest) : null;
    const sparkline = Array.from({ length: 48 }, (_, i) => (test.enabled && !isNew ? mean(latest - (47 - i) * INTERVAL) : null));
    return {
      testId: test.testId, testName: test.testName, type: test.type, interval: test.interval, enabled: test.enabled, target: String(test.server ?? ''),
      agents: test.agents?.length ?? 0, state: this.state(value), value, lastRoundId: test.enabled ? latest : latest - 40 * 86400,
      sparkline: sparkline.map((v) => (v === null ? '-' : String(Math.min(9, Math.ceil(v / 10))))).join(''),
    };
  }

  timeline(test: Test, metric: string, from: number, to: number, only: string[], maxPoints: number): Timeline {
    const first = Math.ceil(Math.max(from, this.start - this.age) / INTERVAL) * INTERVAL;
    const rounds = Math.max(0, Math.floor((Math.min(to, this.latest()) - first) / INTERVAL) + 1);
    const bin = Math.max(1, Math.ceil(rounds / Math.max(1, maxPoints)));
    const line: Timeline = { metric, unit: metric === 'loss' ? '%' : 'ms', interval: INTERVAL, from, to, t: [], mean: [], min: [], max: [], p10: [], p90: [], n: [], changes: [] };
    const chosen = this.of(test).filter((place) => only.length === 0 || only.includes(place.id));
    if (!test.enabled) return line;
    for (let i = 0; i < rounds; i += bin) {
      const values: number[] = [];
      const reporting = new Set<string>();
      for (let k = i; k < Math.min(rounds, i + bin); k++) {
        for (const place of chosen) {
          const round = first + k * INTERVAL;
          if (!this.reports(test, place, round)) continue;
          const value = this.metrics(test, place, round)[metric];
          reporting.add(place.id);
          if (value !== null && value !== undefined) values.push(value);
        }
      }
      values.sort((a, b) => a - b);
      const at = (share: number): number | null => (values.length ? values[Math.min(values.length - 1, Math.floor(share * values.length))] : null);
      line.t.push(first + i * INTERVAL);
      line.mean.push(values.length ? values.reduce((a, b) => a + b, 0) / values.length : null);
      line.min.push(at(0));
      line.max.push(at(1));
      line.p10.push(at(0.1));
      line.p90.push(at(0.9));
      line.n.push(reporting.size);
    }
    for (let k = 1; k < rounds; k++) {
      const round = first + k * INTERVAL;
      if (this.isFault(round) !== this.isFault(round - INTERVAL)) {
        const moved = chosen.filter((place) => place.id === '2' || place.id === '5').map((place) => place.id);
        if (moved.length) line.changes.push({ t: round, agents: moved });
      }
    }
    return line;
  }

  round(test: Test, at: number, only: string[]): Round {
    const latest = test.enabled ? this.latest() : this.start - 40 * 86400;
    const roundId = Math.min(latest, Math.floor(at / INTERVAL) * INTERVAL);
    const first = this.start - this.age;
    const chosen = this.of(test).filter((place) => only.length === 0 || only.includes(place.id));
    const agents = chosen.map((place) => {
      const reported = this.reports(test, place, roundId);
      const metrics = reported ? this.metrics(test, place, roundId) : {};
      return {
        agentId: place.id, agentName: place.name, location: place.location, countryId: place.country, latitude: place.latitude, longitude: place.longitude,
        state: this.state(metrics.loss), reported, startTime: reported ? roundId + Number(place.id) * 4 : null, serverIp: reported ? '198.51.100.250' : null, errorDetails: null,
        seconds: reported && test.continuousMode ? `${'0'.repeat(19 + Number(place.id))}999${'0'.repeat(38 - Number(place.id))}` : null, metrics,
      };
    });
    const losses = agents.filter((agent) => agent.reported).map((agent) => agent.metrics.loss as number);
    const value = losses.length ? losses.reduce((a, b) => a + b, 0) / losses.length : null;
    return {
      roundId, index: Math.floor((roundId - first) / INTERVAL), count: Math.floor((latest - first) / INTERVAL) + 1,
      previous: roundId > first ? roundId - INTERVAL : null, first, next: roundId < latest ? roundId + INTERVAL : null, latest,
      layers: [{ id: 'network', title: 'Network', metric: 'loss', value, unit: '%', state: this.state(value) }], agents,
    };
  }

  paths(test: Test, roundId: number, only: string[]): RoundPaths {
    const wire: RoundPaths = {
      roundId, target: String(test.server ?? ''), agents: [],
      hops: { address: [], rdns: [], network: [], location: [], prefix: [] },
      traces: { agent: [], flow: [], end: [], pathId: [], numberOfHops: [], target: [], first: [], count: [] },
      probes: { ttl: [], hop: [], rttUs: [], sent: [], received: [], mpls: [], icmp: [], replyTtl: [], quotedTtl: [], tunnel: [] },
    };
    const known = new Map<string, number>();
    const chosen = this.of(test).filter((place) => (only.length === 0 || only.includes(place.id)) && this.reports(test, place, roundId));
    chosen.forEach((place, agent) => {
      wire.agents.push({ agentId: place.id, agentName: place.name, loss: this.metrics(test, place, roundId).loss });
      for (let flow = 1; flow <= 3; flow++) this.#trace(wire, known, test, place, agent, flow, roundId);
    });
    return wire;
  }

  #trace(wire: RoundPaths, known: Map<string, number>, test: Test, place: Place, agent: number, flow: number, round: number): void {
    const steps = this.#steps(place, flow, round);
    if (test.testId !== '1') for (const step of steps) step.loss = 0;
    const p = Number(place.id);
    let passes = 1;
    let last = -1;
    let end: End = 'reached';
    wire.traces.first.push(wire.probes.ttl.length);
    const isCut = steps.some((step) => (step.loss ?? 0) > 0) && (flow === 3 || p === 5);
    steps.forEach((step, i) => {
      const cutAt = steps.findIndex((other) => (other.loss ?? 0) > 0);
      let sent = 0;
      let received = 0;
      while (sent < 3 && received === 0) {
        sent++;
        const chance = passes * (step.limit ?? 1);
        if (step.address && !(isCut && i > cutAt) && noise(this.#slot(round), p, flow, i, sent) < chance) received++;
      }
      let hop = -1;
      if (received > 0 && step.address) {
        hop = known.get(step.address) ?? -1;
        if (hop < 0) {
          hop = known.size;
          known.set(step.address, hop);
          const about = databases[step.network ?? ''];
          wire.hops.address.push(step.address);
          wire.hops.rdns.push(step.rdns);
          wire.hops.network.push(step.network);
          wire.hops.location.push(about?.location ?? null);
          wire.hops.prefix.push(about?.prefix ?? null);
        }
      }
      last = hop;
      wire.probes.ttl.push(i + 1);
      wire.probes.hop.push(hop);
      wire.probes.rttUs.push(hop < 0 ? null : 1000 * (step.rtt + noise(this.#slot(round), p, flow, i) * 0.4));
      wire.probes.sent.push(sent);
      wire.probes.received.push(received);
      wire.probes.mpls.push(hop < 0 ? null : (step.mpls ?? null));
      wire.probes.icmp.push(hop < 0 ? null : i === steps.length - 1 ? '0-0' : '11-0');
      wire.probes.replyTtl.push(hop < 0 ? null : 255 - i);
      wire.probes.quotedTtl.push(hop < 0 ? null : 1);
      wire.probes.tunnel.push(hop < 0 || !step.mpls ? null : 'Hop 1 in an MPLS tunnel');
      passes *= 1 - (step.loss ?? 0);
    });
    if (last < 0) end = 'silent';
    wire.traces.agent.push(agent);
    wire.traces.flow.push(flow);
    wire.traces.end.push(end);
    wire.traces.pathId.push(steps.map((step) => step.address ?? '*').join(' '));
    wire.traces.numberOfHops.push(steps.length);
    wire.traces.target.push(end === 'reached' ? last : -1);
    wire.traces.count.push(steps.length);
  }
}
