/** One field of a record: what a settings form needs to know. */
export interface FieldInfo {
  name: string;
  kind: 'bool' | 'i32' | 'i64' | 'f64' | 'str' | 'enum' | 'id' | 'time' | 'record' | 'list' | 'strs' |
    'ids' | 'i64s' | 'i64rows' | 'bytes';
  help: string;
  /** The default, as text. */
  preset?: string;
  /** Bounds of a number, or of the length of a string or list; absent: open. */
  min?: number;
  max?: number;
  unit?: string;
  words?: readonly string[];
  /** The fields of a nested record or of a list's items. */
  fields?: readonly FieldInfo[];
  required?: true;
  readonly?: true;
  secret?: true;
  ignored?: true;
  immutable?: true;
  advanced?: true;
}
/** A place. */
export interface Place {
  /** How far north (degrees). */
  latitude?: number;
  /** Nearest town. */
  city: string;
  /** Is it certain. */
  known: boolean;
}
export const Place_FIELDS: readonly FieldInfo[] = [
  { name: "latitude", kind: "f64", help: "How far north", min: -90, max: 90, unit: "degrees" },
  { name: "city", kind: "str", help: "Nearest town", required: true },
  { name: "known", kind: "bool", help: "Is it certain", preset: "true" },
];
/** A port. */
export interface Port {
  /** The port. */
  number: number;
  /** What it is for. */
  label?: string;
}
export const Port_FIELDS: readonly FieldInfo[] = [
  { name: "number", kind: "i32", help: "The port", min: 1, max: 65535, required: true },
  { name: "label", kind: "str", help: "What it is for" },
];
/** A field of every kind. */
export interface Every {
  /** Does it run. */
  enabled: boolean;
  /** Path traces per round, each with its own flow. */
  numPathTraces: number;
  /** Seconds between rounds (s). */
  interval?: 60 | 120 | 300;
  /** Bytes ever seen, "all" of them. */
  big?: number;
  /** Share of losses (%). */
  ratio?: number;
  /** What people call it. */
  name: string;
  /** Protocol of the probes. */
  protocol: "tcp" | "icmp" | "udp";
  /** The test. */
  testId?: string;
  /** When it began. */
  since?: string;
  /** Where it is. */
  place: Place;
  /** Where else. */
  sparePlace?: Place;
  /** Its ports. */
  ports?: Port[];
  /** Labels on it. */
  tags: string[];
  /** What one may do. */
  rights?: ("read" | "write")[];
  /** Who measures. */
  agentIds?: string[];
  /** Some numbers. */
  numbers?: number[];
  /** Rows of numbers. */
  rows?: number[][];
  /** Opaque bytes. */
  blob?: string;
  /** The way in. */
  password?: string;
  /** When it was made. */
  createdDate?: string;
  /** What it will always be. */
  kind?: string;
  /** Known and without effect. */
  extra?: string;
}
export const Every_FIELDS: readonly FieldInfo[] = [
  { name: "enabled", kind: "bool", help: "Does it run", preset: "true" },
  { name: "numPathTraces", kind: "i32", help: "Path traces per round, each with its own flow", preset: "3", min: 1, max: 10 },
  { name: "interval", kind: "i32", help: "Seconds between rounds", unit: "s", words: ["60", "120", "300"] },
  { name: "big", kind: "i64", help: "Bytes ever seen, \"all\" of them", min: 0 },
  { name: "ratio", kind: "f64", help: "Share of losses", min: 0, max: 100, unit: "%" },
  { name: "name", kind: "str", help: "What people call it", min: 1, max: 20, required: true },
  { name: "protocol", kind: "enum", help: "Protocol of the probes", preset: "tcp", words: ["tcp", "icmp", "udp"] },
  { name: "testId", kind: "id", help: "The test" },
  { name: "since", kind: "time", help: "When it began" },
  { name: "place", kind: "record", help: "Where it is", fields: Place_FIELDS },
  { name: "sparePlace", kind: "record", help: "Where else", fields: Place_FIELDS, advanced: true },
  { name: "ports", kind: "list", help: "Its ports", min: 0, max: 3, fields: Port_FIELDS },
  { name: "tags", kind: "strs", help: "Labels on it", preset: "" },
  { name: "rights", kind: "strs", help: "What one may do", words: ["read", "write"] },
  { name: "agentIds", kind: "ids", help: "Who measures" },
  { name: "numbers", kind: "i64s", help: "Some numbers" },
  { name: "rows", kind: "i64rows", help: "Rows of numbers", min: 0, max: 4 },
  { name: "blob", kind: "bytes", help: "Opaque bytes" },
  { name: "password", kind: "str", help: "The way in", secret: true },
  { name: "createdDate", kind: "time", help: "When it was made", readonly: true },
  { name: "kind", kind: "str", help: "What it will always be", immutable: true },
  { name: "extra", kind: "str", help: "Known and without effect", ignored: true },
];
/** A proxy. */
export interface AgentProxy {
  /** The proxy in its account group's list. */
  proxyId?: string;
  /** What people call it. */
  name?: string;
  /** How it is found: direct (there is none), static (by its address) or pac (by a PAC file). */
  type: string;
  /** Host and port, or the URL of the PAC file. */
  location?: string;
  /** How it wants to be signed in to. */
  authType?: string;
  /** Who signs in to it. */
  user?: string;
  /** That user's password. */
  password?: string;
  /** Hosts that are reached without it. */
  bypassList: string[];
}
export const AgentProxy_FIELDS: readonly FieldInfo[] = [
  { name: "proxyId", kind: "id", help: "The proxy in its account group's list" },
  { name: "name", kind: "str", help: "What people call it", min: 0, max: 255 },
  { name: "type", kind: "str", help: "How it is found: direct (there is none), static (by its address) or pac (by a PAC file)", min: 1, max: 32, required: true },
  { name: "location", kind: "str", help: "Host and port, or the URL of the PAC file", min: 0, max: 1000 },
  { name: "authType", kind: "str", help: "How it wants to be signed in to", min: 0, max: 32 },
  { name: "user", kind: "str", help: "Who signs in to it", min: 0, max: 255 },
  { name: "password", kind: "str", help: "That user's password", min: 0, max: 1000, secret: true },
  { name: "bypassList", kind: "strs", help: "Hosts that are reached without it", preset: "", min: 0, max: 1000 },
];
/** A test an agent runs on schedule. */
export interface AgentPlanTest {
  /** The test. */
  testId: string;
  /** Version of the settings. */
  version: number;
  /** Measure type. */
  type: string;
  /** Time between the starts of two rounds (s). */
  interval: number;
  /** Start at a random moment of each interval. */
  randomizedStartTime: boolean;
  /** Address to measure from. */
  sourceIp?: string;
  /** Proxy of this test. */
  proxy?: AgentProxy;
  /** Settings of the measure type. */
  settings: string;
}
export const AgentPlanTest_FIELDS: readonly FieldInfo[] = [
  { name: "testId", kind: "id", help: "The test", required: true },
  { name: "version", kind: "i64", help: "Version of the settings", min: 1, required: true },
  { name: "type", kind: "str", help: "Measure type", min: 1, max: 64, required: true },
  { name: "interval", kind: "i32", help: "Time between the starts of two rounds", min: 1, max: 86400, unit: "s", required: true },
  { name: "randomizedStartTime", kind: "bool", help: "Start at a random moment of each interval", preset: "false" },
  { name: "sourceIp", kind: "str", help: "Address to measure from", min: 0, max: 64 },
  { name: "proxy", kind: "record", help: "Proxy of this test", fields: AgentProxy_FIELDS },
  { name: "settings", kind: "bytes", help: "Settings of the measure type", required: true },
];
/** Something an agent runs once. */
export interface AgentPlanRun {
  /** The run. */
  runId: string;
  /** The test it belongs to, if any. */
  testId?: string;
  /** Version of the settings. */
  version: number;
  /** Measure type. */
  type: string;
  /** Address to measure from. */
  sourceIp?: string;
  /** Proxy of this run. */
  proxy?: AgentProxy;
  /** Settings of the measure type. */
  settings: string;
  /** When it was asked for. */
  requestedTime: string;
}
export const AgentPlanRun_FIELDS: readonly FieldInfo[] = [
  { name: "runId", kind: "id", help: "The run", required: true },
  { name: "testId", kind: "id", help: "The test it belongs to, if any" },
  { name: "version", kind: "i64", help: "Version of the settings", min: 1, required: true },
  { name: "type", kind: "str", help: "Measure type", min: 1, max: 64, required: true },
  { name: "sourceIp", kind: "str", help: "Address to measure from", min: 0, max: 64 },
  { name: "proxy", kind: "record", help: "Proxy of this run", fields: AgentProxy_FIELDS },
  { name: "settings", kind: "bytes", help: "Settings of the measure type", required: true },
  { name: "requestedTime", kind: "time", help: "When it was asked for", required: true },
];
/** What an agent has been told to run. */
export interface AgentPlan {
  /** Counts up whenever the plan changes. */
  version: number;
  /** Wall clock of the server (ns). */
  serverTime: number;
  /** Which addresses of a name the agent prefers. */
  ipv6Policy: "force-ipv4" | "prefer-ipv6" | "force-ipv6";
  /** Prefixes whose names it asks for beside those of its own networks. */
  resolvePrefixes: string[];
  /** Proxy of tests that name none. */
  proxy?: AgentProxy;
  /** Tests accept certificates that cannot be verified. */
  unverifiedCertificates: boolean;
  /** The browser keeps its cache from round to round. */
  keepBrowserCache: boolean;
  /** Tests on schedule. */
  tests: AgentPlanTest[];
  /** Runs asked for once. */
  runs: AgentPlanRun[];
}
export const AgentPlan_FIELDS: readonly FieldInfo[] = [
  { name: "version", kind: "i64", help: "Counts up whenever the plan changes", min: 0, required: true },
  { name: "serverTime", kind: "i64", help: "Wall clock of the server", unit: "ns", required: true },
  { name: "ipv6Policy", kind: "enum", help: "Which addresses of a name the agent prefers", preset: "prefer-ipv6", words: ["force-ipv4", "prefer-ipv6", "force-ipv6"] },
  { name: "resolvePrefixes", kind: "strs", help: "Prefixes whose names it asks for beside those of its own networks", preset: "", min: 0, max: 64 },
  { name: "proxy", kind: "record", help: "Proxy of tests that name none", fields: AgentProxy_FIELDS },
  { name: "unverifiedCertificates", kind: "bool", help: "Tests accept certificates that cannot be verified", preset: "false" },
  { name: "keepBrowserCache", kind: "bool", help: "The browser keeps its cache from round to round", preset: "false" },
  { name: "tests", kind: "list", help: "Tests on schedule", min: 0, max: 10000, fields: AgentPlanTest_FIELDS, required: true },
  { name: "runs", kind: "list", help: "Runs asked for once", preset: "", min: 0, max: 10000, fields: AgentPlanRun_FIELDS },
];
