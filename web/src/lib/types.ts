/* The answers of /oculi/v1 (docs/protocols.md, "The web UI"). What v7 answers is in generated.ts. */

export type State = 'ok' | 'minor' | 'major' | 'critical' | 'no-data';

export interface Session {
  user: { uid: string; name: string; email: string };
  aid: string;
  accountGroupName: string;
  mustChangePassword: boolean;
}

export interface StartFacts {
  agentToken: string;
  serverUrl: string;
  agentCommand: string;
  agents: number;
  tests: number;
  version: string;
  warning?: string;
}

export interface TestRow {
  testId: string;
  testName: string;
  type: string;
  interval: number;
  enabled: boolean;
  target: string;
  agents: number;
  state: State;
  value: number | null;
  sparkline: string;
  lastRoundId: number | null;
}

export interface TestPage {
  total: number;
  tests: TestRow[];
}

export interface Timeline {
  metric: string;
  unit: string;
  interval: number;
  from: number;
  to: number;
  t: number[];
  mean: (number | null)[];
  min: (number | null)[];
  max: (number | null)[];
  p10: (number | null)[];
  p90: (number | null)[];
  n: (number | null)[];
  changes: { t: number; agents: string[] }[];
}

export interface Layer {
  id: string;
  title: string;
  metric: string;
  value: number | null;
  unit: string;
  state: State;
}

export interface RoundAgent {
  agentId: string;
  agentName: string;
  location?: string | null;
  countryId?: string | null;
  latitude?: number | null;
  longitude?: number | null;
  state: State;
  reported: boolean;
  startTime?: number | null;
  serverIp?: string | null;
  errorDetails?: string | null;
  notice?: string | null;
  /** Of a continuous round: for each second 0 (nothing lost) to 9 (all), - (not measured). */
  seconds?: string | null;
  metrics: Record<string, number | null | undefined>;
}

export interface Round {
  roundId: number | null;
  index: number;
  count: number;
  first: number | null; /* of everything kept */
  previous: number | null;
  next: number | null;
  latest: number | null;
  layers: Layer[];
  agents: RoundAgent[];
}

export type End = 'reached' | 'silent' | 'unreachable' | 'prohibited' | 'reset' | 'loop';

export interface RoundPaths {
  roundId: number;
  target: string;
  agents: { agentId: string; agentName: string; loss: number | null }[];
  hops: {
    address: string[];
    rdns: (string | null)[];
    network: (string | null)[];
    location: (string | null)[];
    prefix: (string | null)[];
  };
  traces: {
    agent: number[];
    flow: number[];
    end: End[];
    pathId: string[];
    numberOfHops: (number | null)[];
    target: number[];
    first: number[];
    count: number[];
  };
  probes: {
    ttl: number[];
    hop: number[];
    rttUs: (number | null)[];
    sent: number[];
    received: number[];
    mpls: (string | null)[];
    icmp: (string | null)[];
    replyTtl: (number | null)[];
    quotedTtl: (number | null)[];
    tunnel: (string | null)[];
  };
}

/* What we read of a v7 agent. */
export interface Agent {
  agentId: string;
  agentName: string;
  agentType: string;
  agentState?: string;
  enabled?: boolean;
  location?: string;
  countryId?: string;
  hostname?: string;
  ipAddresses?: string[];
  lastSeen?: string;
  createdDate?: string;
  testIds?: string[];
  tests?: { testId: string; testName?: string }[];
  utilization?: number;
  clusterMembers?: { memberId?: string; name?: string; agentState?: string }[];
  oculi?: { version?: string; support?: string; clockOffset?: number; problems?: { code?: string; description?: string }[] };
}

/* What we read and write of a v7 test; its settings are described by the field table of its type. */
export interface Test extends Record<string, unknown> {
  testId: string;
  testName: string;
  type: string;
  interval: number;
  enabled: boolean;
  agents?: { agentId: string; agentName?: string }[];
}
