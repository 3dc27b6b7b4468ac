/* The path traces of a round, unpacked from the columns of the wire into what the graph is made of. */
import type { End, RoundPaths } from '../lib/types';

export interface Hop {
  ttl: number;
  hop: number; /* index into Paths.hops, -1 = silent */
  rttMs: number | null;
  sent: number;
  received: number;
  mpls: string | null;
  tunnel: string | null; /* in words */
  icmp: string | null;
}

export interface Trace {
  index: number;
  agent: number;
  flow: number;
  end: End;
  pathId: string;
  target: number; /* hop index, -1 = not reached */
  hops: Hop[];
}

export interface HopInfo {
  address: string;
  rdns: string | null;
  network: string | null;
  location: string | null;
  prefix: string | null;
}

export interface PathAgent {
  id: string;
  name: string;
  loss: number | null;
}

export interface Paths {
  roundId: number;
  target: string;
  agents: PathAgent[];
  hops: HopInfo[];
  traces: Trace[];
}

export function unpack(wire: RoundPaths): Paths {
  const { hops, traces, probes } = wire;
  return {
    roundId: wire.roundId,
    target: wire.target,
    agents: wire.agents.map((agent) => ({ id: agent.agentId, name: agent.agentName, loss: agent.loss })),
    hops: hops.address.map((address, i) => ({
      address,
      rdns: hops.rdns[i] ?? null,
      network: hops.network[i] ?? null,
      location: hops.location[i] ?? null,
      prefix: hops.prefix[i] ?? null,
    })),
    traces: traces.agent.map((agent, index) => ({
      index,
      agent,
      flow: traces.flow[index],
      end: traces.end[index],
      pathId: traces.pathId[index],
      target: traces.target[index],
      hops: Array.from({ length: traces.count[index] }, (_, k) => {
        const i = traces.first[index] + k;
        const rtt = probes.rttUs[i];
        return {
          ttl: probes.ttl[i],
          hop: probes.hop[i],
          rttMs: rtt === null || rtt === undefined ? null : rtt / 1000,
          sent: probes.sent[i],
          received: probes.received[i],
          mpls: probes.mpls[i] ?? null,
          tunnel: probes.tunnel[i] ?? null,
          icmp: probes.icmp[i] ?? null,
        };
      }).sort((a, b) => a.ttl - b.ttl),
    })),
  };
}

/* A trace as it counts: up to the last hop that answered; what was silent behind it is no hop of a path. */
export function answered(trace: Trace): Hop[] {
  let end = trace.hops.length;
  while (end > 0 && trace.hops[end - 1].hop < 0) end--;
  return trace.hops.slice(0, end);
}
