/* Rounds of paths made of a few words, for checks: one text per trace. */
import type { End, RoundPaths } from '../lib/types';

export interface SampleTrace {
  agent: string;
  /* "a b/3/2 * c": addresses in order; "/sent/received" after one; "*" is silent (3 sent); "!label" after one is MPLS, "!~words" a tunnel told by other signs ("_" for spaces) */
  hops: string;
  end?: End;
  rtts?: number[];
}

export function sample(traces: SampleTrace[], losses: Record<string, number | null> = {}, target = 'target.example'): RoundPaths {
  const agents = [...new Set([...traces.map((trace) => trace.agent), ...Object.keys(losses)])];
  const wire: RoundPaths = {
    roundId: 1_790_000_000,
    target,
    agents: agents.map((agent, i) => ({ agentId: String(i + 1), agentName: agent, loss: agent in losses ? losses[agent] : 0 })),
    hops: { address: [], rdns: [], network: [], location: [], prefix: [] },
    traces: { agent: [], flow: [], end: [], pathId: [], numberOfHops: [], target: [], first: [], count: [] },
    probes: { ttl: [], hop: [], rttUs: [], sent: [], received: [], mpls: [], icmp: [], replyTtl: [], quotedTtl: [], tunnel: [] },
  };
  const known = new Map<string, number>();
  const hopOf = (address: string): number => {
    let index = known.get(address);
    if (index === undefined) {
      index = known.size;
      known.set(address, index);
      wire.hops.address.push(address);
      for (const list of [wire.hops.rdns, wire.hops.network, wire.hops.location, wire.hops.prefix]) list.push(null);
    }
    return index;
  };
  for (const trace of traces) {
    const words = trace.hops.split(' ').filter((text) => text !== '');
    const end = trace.end ?? 'reached';
    wire.traces.first.push(wire.probes.ttl.length);
    let last = -1;
    words.forEach((text, i) => {
      const [body, label] = text.split('!');
      const [address, sent, received] = body.split('/');
      last = address === '*' ? -1 : hopOf(address);
      wire.probes.ttl.push(i + 1);
      wire.probes.hop.push(last);
      wire.probes.rttUs.push(address === '*' ? null : 1000 * (trace.rtts?.[i] ?? i + 1));
      wire.probes.sent.push(Number(sent ?? (address === '*' ? 3 : 1)));
      wire.probes.received.push(address === '*' ? 0 : Number(received ?? 1));
      const tunnel = label?.startsWith('~') ? label.slice(1).replaceAll('_', ' ') : null;
      wire.probes.mpls.push(tunnel === null ? label ?? null : null);
      wire.probes.tunnel.push(tunnel);
      wire.probes.icmp.push(address === '*' ? null : '11-0');
      wire.probes.replyTtl.push(null);
      wire.probes.quotedTtl.push(null);
    });
    wire.traces.agent.push(agents.indexOf(trace.agent));
    wire.traces.flow.push(wire.traces.agent.filter((agent) => agent === agents.indexOf(trace.agent)).length);
    wire.traces.end.push(end);
    wire.traces.pathId.push(trace.hops);
    wire.traces.numberOfHops.push(words.length);
    wire.traces.target.push(end === 'reached' ? last : -1);
    wire.traces.count.push(words.length);
  }
  return wire;
}

/* A network of the given size: each agent's paths narrow towards one target. Deterministic. */
export function sampleWorld(agents: number, depth: number, flows: number): RoundPaths {
  let seed = 12345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  const traces: SampleTrace[] = [];
  for (let a = 0; a < agents; a++) {
    for (let f = 0; f < flows; f++) {
      const hops: string[] = [];
      for (let d = 1; d < depth; d++) {
        const reach = Math.max(2, Math.round(agents * (1 - d / depth)));
        if (random(29) === 0) hops.push('*');
        else if (d < depth * 0.6) hops.push(`a${a}.${d}.${random(2)}`);
        else hops.push(`c.${d}.${(a * 7 + random(2)) % reach}`);
      }
      const isLost = random(17) === 0;
      if (!isLost) hops.push('t');
      traces.push({ agent: `agent ${a}`, hops: hops.join(' '), end: isLost ? 'silent' : 'reached' });
    }
  }
  return sample(traces);
}
