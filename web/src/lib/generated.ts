// Made by `oculid schema typescript` from the server's tables. Do not edit.

/** One field of a record: what a settings form needs to know. */
export interface FieldInfo {
  name: string;
  kind: 'bool' | 'i32' | 'i64' | 'f64' | 'str' | 'enum' | 'id' | 'time' | 'record' | 'list' | 'strs' |
    'ids' | 'i64s' | 'bytes';
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

/** Who wants to sign in. */
export interface Login {
  /** E-mail address. */
  email: string;
  /** Password. */
  password?: string;
}
export const Login_FIELDS: readonly FieldInfo[] = [
  { name: "email", kind: "str", help: "E-mail address", min: 0, max: 320, required: true },
  { name: "password", kind: "str", help: "Password", min: 0, max: 1024, required: true, secret: true },
];

/** The user of a session. */
export interface SessionUser {
  /** Id of the user. */
  uid?: string;
  /** Name shown. */
  name?: string;
  /** E-mail address. */
  email?: string;
}
export const SessionUser_FIELDS: readonly FieldInfo[] = [
  { name: "uid", kind: "id", help: "Id of the user" },
  { name: "name", kind: "str", help: "Name shown" },
  { name: "email", kind: "str", help: "E-mail address" },
];

/** A signed-in browser. */
export interface Session {
  /** Who is signed in. */
  user: SessionUser;
  /** Account group worked in. */
  aid?: string;
  /** Its name. */
  accountGroupName?: string;
  /** The user must choose a password before anything else. */
  mustChangePassword: boolean;
}
export const Session_FIELDS: readonly FieldInfo[] = [
  { name: "user", kind: "record", help: "Who is signed in", fields: SessionUser_FIELDS },
  { name: "aid", kind: "id", help: "Account group worked in" },
  { name: "accountGroupName", kind: "str", help: "Its name" },
  { name: "mustChangePassword", kind: "bool", help: "The user must choose a password before anything else" },
];

/** A change of password. */
export interface NewPassword {
  /** The password so far. */
  current?: string;
  /** The one to come. */
  new?: string;
}
export const NewPassword_FIELDS: readonly FieldInfo[] = [
  { name: "current", kind: "str", help: "The password so far", min: 0, max: 1024, required: true, secret: true },
  { name: "new", kind: "str", help: "The one to come", min: 12, max: 1024, required: true, secret: true },
];

/** An account group. */
export interface AccountGroup {
  /** Id of the account group. */
  aid?: string;
  /** Name of the account group. */
  accountGroupName?: string;
}
export const AccountGroup_FIELDS: readonly FieldInfo[] = [
  { name: "aid", kind: "id", help: "Id of the account group" },
  { name: "accountGroupName", kind: "str", help: "Name of the account group" },
];

/** A role. */
export interface Role {
  /** Name of the role. */
  name?: string;
  /** Id of the role. */
  roleId?: string;
  /** It comes with the product. */
  isBuiltin: boolean;
  /** It includes management permissions. */
  hasManagementPermissions: boolean;
}
export const Role_FIELDS: readonly FieldInfo[] = [
  { name: "name", kind: "str", help: "Name of the role" },
  { name: "roleId", kind: "str", help: "Id of the role" },
  { name: "isBuiltin", kind: "bool", help: "It comes with the product" },
  { name: "hasManagementPermissions", kind: "bool", help: "It includes management permissions" },
];

/** A user's roles in an account group. */
export interface AccountGroupRole {
  /** The account group. */
  accountGroup: AccountGroup;
  /** The user's roles in it. */
  roles?: Role[];
}
export const AccountGroupRole_FIELDS: readonly FieldInfo[] = [
  { name: "accountGroup", kind: "record", help: "The account group", fields: AccountGroup_FIELDS },
  { name: "roles", kind: "list", help: "The user's roles in it", fields: Role_FIELDS },
];

/** A user. */
export interface UserDetail {
  /** Id of the user. */
  uid?: string;
  /** Name shown. */
  name?: string;
  /** E-mail address. */
  email?: string;
  /** When the user was created. */
  dateRegistered?: string;
  /** When the user last signed in. */
  lastLogin?: string;
  /** Account group entered at sign-in. */
  loginAccountGroup: AccountGroup;
  /** Roles by account group. */
  accountGroupRoles?: AccountGroupRole[];
  /** Roles in all account groups. */
  allAccountGroupRoles?: Role[];
}
export const UserDetail_FIELDS: readonly FieldInfo[] = [
  { name: "uid", kind: "id", help: "Id of the user" },
  { name: "name", kind: "str", help: "Name shown" },
  { name: "email", kind: "str", help: "E-mail address" },
  { name: "dateRegistered", kind: "time", help: "When the user was created" },
  { name: "lastLogin", kind: "time", help: "When the user last signed in" },
  { name: "loginAccountGroup", kind: "record", help: "Account group entered at sign-in", fields: AccountGroup_FIELDS },
  { name: "accountGroupRoles", kind: "list", help: "Roles by account group", fields: AccountGroupRole_FIELDS },
  { name: "allAccountGroupRoles", kind: "list", help: "Roles in all account groups", fields: Role_FIELDS },
];

/** An account group of the user. */
export interface AccountGroupInfo {
  /** Id of the account group. */
  aid?: string;
  /** Name of the account group. */
  accountGroupName?: string;
  /** It is the one being worked in. */
  isCurrentAccountGroup: boolean;
  /** It is entered at sign-in. */
  isDefaultAccountGroup: boolean;
  /** Name of the organization. */
  organizationName?: string;
  /** Id of the organization. */
  orgId?: string;
}
export const AccountGroupInfo_FIELDS: readonly FieldInfo[] = [
  { name: "aid", kind: "id", help: "Id of the account group" },
  { name: "accountGroupName", kind: "str", help: "Name of the account group" },
  { name: "isCurrentAccountGroup", kind: "bool", help: "It is the one being worked in" },
  { name: "isDefaultAccountGroup", kind: "bool", help: "It is entered at sign-in" },
  { name: "organizationName", kind: "str", help: "Name of the organization" },
  { name: "orgId", kind: "str", help: "Id of the organization" },
];

/** A new account group. */
export interface AccountGroupRequest {
  /** Name of the account group, unique. */
  accountGroupName: string;
  /** Agents that also work for it. */
  agents?: string[];
}
export const AccountGroupRequest_FIELDS: readonly FieldInfo[] = [
  { name: "accountGroupName", kind: "str", help: "Name of the account group, unique", min: 1, max: 255, required: true },
  { name: "agents", kind: "ids", help: "Agents that also work for it", min: 0, max: 10000 },
];

/** A user of an account group. */
export interface UserAccountGroup {
  /** Id of the user. */
  uid?: string;
  /** Name shown. */
  name?: string;
  /** E-mail address. */
  email?: string;
  /** When the user was created. */
  dateRegistered?: string;
  /** When the user last signed in. */
  lastLogin?: string;
  /** The user's roles in the account group. */
  roles?: Role[];
}
export const UserAccountGroup_FIELDS: readonly FieldInfo[] = [
  { name: "uid", kind: "id", help: "Id of the user" },
  { name: "name", kind: "str", help: "Name shown" },
  { name: "email", kind: "str", help: "E-mail address" },
  { name: "dateRegistered", kind: "time", help: "When the user was created" },
  { name: "lastLogin", kind: "time", help: "When the user last signed in" },
  { name: "roles", kind: "list", help: "The user's roles in the account group", fields: Role_FIELDS },
];

/** A new account group. */
export interface CreatedAccountGroup {
  /** Id of the account group. */
  aid?: string;
  /** Name of the account group. */
  accountGroupName?: string;
  /** It is the one being worked in. */
  isCurrentAccountGroup: boolean;
  /** It is entered at sign-in. */
  isDefaultAccountGroup: boolean;
  /** Name of the organization. */
  organizationName?: string;
  /** Id of the organization. */
  orgId?: string;
  /** Who has access. */
  users?: UserAccountGroup[];
}
export const CreatedAccountGroup_FIELDS: readonly FieldInfo[] = [
  { name: "aid", kind: "id", help: "Id of the account group" },
  { name: "accountGroupName", kind: "str", help: "Name of the account group" },
  { name: "isCurrentAccountGroup", kind: "bool", help: "It is the one being worked in" },
  { name: "isDefaultAccountGroup", kind: "bool", help: "It is entered at sign-in" },
  { name: "organizationName", kind: "str", help: "Name of the organization" },
  { name: "orgId", kind: "str", help: "Id of the organization" },
  { name: "users", kind: "list", help: "Who has access", fields: UserAccountGroup_FIELDS },
];

/** Where something stands. */
export interface Coordinates {
  /** Latitude in degrees. */
  latitude?: number;
  /** Longitude in degrees. */
  longitude?: number;
}
export const Coordinates_FIELDS: readonly FieldInfo[] = [
  { name: "latitude", kind: "f64", help: "Latitude in degrees", min: -90, max: 90, readonly: true },
  { name: "longitude", kind: "f64", help: "Longitude in degrees", min: -180, max: 180, readonly: true },
];

/** A member of a cluster of agents. */
export interface ClusterMember {
  /** Name of the member. */
  name?: string;
}
export const ClusterMember_FIELDS: readonly FieldInfo[] = [
  { name: "name", kind: "str", help: "Name of the member", readonly: true },
];

/** What is wrong with an agent. */
export interface ErrorDetail {
  /** What is wrong. */
  code?: string;
  /** The same in words. */
  description?: string;
}
export const ErrorDetail_FIELDS: readonly FieldInfo[] = [
  { name: "code", kind: "str", help: "What is wrong", readonly: true },
  { name: "description", kind: "str", help: "The same in words", readonly: true },
];

/** An agent. */
export interface EnterpriseAgent {
  /** Id of the agent. */
  agentId?: string;
  /** Name of the agent. */
  agentName?: string;
  /** Kind of agent. */
  agentType: "cloud" | "enterprise-cluster" | "enterprise";
  /** Where it stands. */
  location?: string;
  /** ISO 3166 country code. */
  countryId?: string;
  /** Where it stands. */
  coordinates?: Coordinates;
  /** Its own addresses. */
  ipAddresses?: string[];
  /** Addresses the server sees it with. */
  publicIpAddresses?: string[];
  /** Network of its public address. */
  network?: string;
  /** Prefix of its public address. */
  prefix?: string;
  /** It gets tests to run. */
  enabled: boolean;
  /** It refuses certificates it cannot verify. */
  verifySslCertificates: boolean;
  /** Members, when the agent is a cluster. */
  clusterMembers?: ClusterMember[];
  /** Ids of the tests it runs. */
  testIds?: number[];
  /** Account groups it works for. */
  accountGroups?: AccountGroup[];
  /** Which addresses of a name it uses. */
  ipv6Policy?: "force-ipv4" | "prefer-ipv6" | "force-ipv6";
  /** What is wrong with it. */
  errorDetails?: ErrorDetail[];
  /** Name of its machine. */
  hostname?: string;
  /** When it last spoke. */
  lastSeen?: string;
  /** Whether it is there. */
  agentState?: "online" | "offline" | "disabled";
  /** Its browser keeps the cache. */
  keepBrowserCache: boolean;
  /** When it registered. */
  createdDate?: string;
  /** Address other agents measure. */
  targetForTests?: string;
  /** Prefixes whose names it resolves itself. */
  localResolutionPrefixes?: string[];
}
export const EnterpriseAgent_FIELDS: readonly FieldInfo[] = [
  { name: "agentId", kind: "id", help: "Id of the agent", readonly: true },
  { name: "agentName", kind: "str", help: "Name of the agent" },
  { name: "agentType", kind: "enum", help: "Kind of agent", words: ["cloud", "enterprise-cluster", "enterprise"], required: true, readonly: true },
  { name: "location", kind: "str", help: "Where it stands", readonly: true },
  { name: "countryId", kind: "str", help: "ISO 3166 country code", readonly: true },
  { name: "coordinates", kind: "record", help: "Where it stands", fields: Coordinates_FIELDS, readonly: true },
  { name: "ipAddresses", kind: "strs", help: "Its own addresses", readonly: true },
  { name: "publicIpAddresses", kind: "strs", help: "Addresses the server sees it with", readonly: true },
  { name: "network", kind: "str", help: "Network of its public address", readonly: true },
  { name: "prefix", kind: "str", help: "Prefix of its public address", readonly: true },
  { name: "enabled", kind: "bool", help: "It gets tests to run", preset: "true" },
  { name: "verifySslCertificates", kind: "bool", help: "It refuses certificates it cannot verify", readonly: true },
  { name: "clusterMembers", kind: "list", help: "Members, when the agent is a cluster", fields: ClusterMember_FIELDS, readonly: true },
  { name: "testIds", kind: "i64s", help: "Ids of the tests it runs", readonly: true },
  { name: "accountGroups", kind: "list", help: "Account groups it works for", fields: AccountGroup_FIELDS },
  { name: "ipv6Policy", kind: "enum", help: "Which addresses of a name it uses", words: ["force-ipv4", "prefer-ipv6", "force-ipv6"] },
  { name: "errorDetails", kind: "list", help: "What is wrong with it", fields: ErrorDetail_FIELDS, readonly: true },
  { name: "hostname", kind: "str", help: "Name of its machine", readonly: true },
  { name: "lastSeen", kind: "time", help: "When it last spoke", readonly: true },
  { name: "agentState", kind: "enum", help: "Whether it is there", words: ["online", "offline", "disabled"], readonly: true },
  { name: "keepBrowserCache", kind: "bool", help: "Its browser keeps the cache" },
  { name: "createdDate", kind: "time", help: "When it registered", readonly: true },
  { name: "targetForTests", kind: "str", help: "Address other agents measure" },
  { name: "localResolutionPrefixes", kind: "strs", help: "Prefixes whose names it resolves itself" },
];

/** An account group in full. */
export interface AccountGroupDetail {
  /** Id of the account group. */
  aid?: string;
  /** Name of the account group. */
  accountGroupName?: string;
  /** It is the one being worked in. */
  isCurrentAccountGroup: boolean;
  /** It is entered at sign-in. */
  isDefaultAccountGroup: boolean;
  /** Name of the organization. */
  organizationName?: string;
  /** Id of the organization. */
  orgId?: string;
  /** Who has access. */
  users?: UserAccountGroup[];
  /** Its agents. */
  agents?: EnterpriseAgent[];
}
export const AccountGroupDetail_FIELDS: readonly FieldInfo[] = [
  { name: "aid", kind: "id", help: "Id of the account group" },
  { name: "accountGroupName", kind: "str", help: "Name of the account group" },
  { name: "isCurrentAccountGroup", kind: "bool", help: "It is the one being worked in" },
  { name: "isDefaultAccountGroup", kind: "bool", help: "It is entered at sign-in" },
  { name: "organizationName", kind: "str", help: "Name of the organization" },
  { name: "orgId", kind: "str", help: "Id of the organization" },
  { name: "users", kind: "list", help: "Who has access", fields: UserAccountGroup_FIELDS },
  { name: "agents", kind: "list", help: "Its agents", fields: EnterpriseAgent_FIELDS },
];

/** A new bearer token. */
export interface ApiToken {
  /** The bearer token, told once. */
  bearerToken?: string;
  /** Until when it works. */
  validUntil?: string;
}
export const ApiToken_FIELDS: readonly FieldInfo[] = [
  { name: "bearerToken", kind: "str", help: "The bearer token, told once", readonly: true },
  { name: "validUntil", kind: "time", help: "Until when it works", readonly: true },
];

/** Changes to an agent. */
export interface AgentRequest {
  /** Name of the agent. */
  agentName?: string;
  /** It gets tests to run. */
  enabled: boolean;
  /** Account groups it works for. */
  accountGroups?: string[];
  /** Which addresses of a name it uses. */
  ipv6Policy?: "force-ipv4" | "prefer-ipv6" | "force-ipv6";
  /** Its browser keeps the cache. */
  keepBrowserCache: boolean;
  /** Address other agents measure. */
  targetForTests?: string;
  /** Prefixes whose names it resolves itself. */
  localResolutionPrefixes?: string[];
  /** Ids of the tests it runs: these and no others. */
  tests?: string[];
}
export const AgentRequest_FIELDS: readonly FieldInfo[] = [
  { name: "agentName", kind: "str", help: "Name of the agent", min: 1, max: 255 },
  { name: "enabled", kind: "bool", help: "It gets tests to run" },
  { name: "accountGroups", kind: "ids", help: "Account groups it works for", min: 0, max: 100 },
  { name: "ipv6Policy", kind: "enum", help: "Which addresses of a name it uses", words: ["force-ipv4", "prefer-ipv6", "force-ipv6"] },
  { name: "keepBrowserCache", kind: "bool", help: "Its browser keeps the cache" },
  { name: "targetForTests", kind: "str", help: "Address other agents measure", min: 0, max: 64 },
  { name: "localResolutionPrefixes", kind: "strs", help: "Prefixes whose names it resolves itself", min: 0, max: 1000 },
  { name: "tests", kind: "ids", help: "Ids of the tests it runs: these and no others", min: 0, max: 10000 },
];

/** A test as lists show it. */
export interface UnexpandedTest {
  /** Id of the test. */
  testId?: string;
  /** Name of the test. */
  testName?: string;
  /** What it is for. */
  description?: string;
  /** Type of the test. */
  type?: string;
  /** Who created it. */
  createdBy?: string;
  /** When it was created. */
  createdDate?: string;
  /** Who changed it last. */
  modifiedBy?: string;
  /** When it was changed last. */
  modifiedDate?: string;
  /** It is shared with this account group. */
  liveShare: boolean;
  /** It is a saved event. */
  savedEvent: boolean;
  /** Time between rounds (s). */
  interval?: 60 | 120 | 300 | 600 | 900 | 1800 | 3600;
  /** It raises alerts. */
  alertsEnabled: boolean;
  /** It runs. */
  enabled: boolean;
}
export const UnexpandedTest_FIELDS: readonly FieldInfo[] = [
  { name: "testId", kind: "id", help: "Id of the test", readonly: true },
  { name: "testName", kind: "str", help: "Name of the test" },
  { name: "description", kind: "str", help: "What it is for" },
  { name: "type", kind: "str", help: "Type of the test", readonly: true },
  { name: "createdBy", kind: "str", help: "Who created it", readonly: true },
  { name: "createdDate", kind: "time", help: "When it was created", readonly: true },
  { name: "modifiedBy", kind: "str", help: "Who changed it last", readonly: true },
  { name: "modifiedDate", kind: "time", help: "When it was changed last", readonly: true },
  { name: "liveShare", kind: "bool", help: "It is shared with this account group", readonly: true },
  { name: "savedEvent", kind: "bool", help: "It is a saved event", readonly: true },
  { name: "interval", kind: "i32", help: "Time between rounds", unit: "s", words: ["60", "120", "300", "600", "900", "1800", "3600"] },
  { name: "alertsEnabled", kind: "bool", help: "It raises alerts" },
  { name: "enabled", kind: "bool", help: "It runs" },
];

/** What an agent-to-server test measures. */
export interface AgentToServerWritablePropertyFields {
  /** Host to measure, by name or address; a port follows a colon. */
  server: string;
  /** TCP port; 80 when neither this nor the server names one. */
  port?: number;
  /** Protocol of the probes. */
  protocol: "tcp" | "icmp";
  /** How TCP probes the target; auto prefers SACK. */
  probeMode: "auto" | "sack" | "syn";
  /** Path traces of a round, each with a flow of its own. */
  numPathTraces: number;
  /** Whether path traces run within a TCP session. */
  pathTraceMode: "classic" | "in-session";
  /** Payload of the probes of the end-to-end stream; the least that measures when not given (bytes). */
  pingPayloadSize?: number;
  /** Fixed rate of the end-to-end stream from 10 to 100; adapted to the round-trip time when not given (packets/s). */
  fixedPacketRate?: number;
  /** Which addresses of a name are used. */
  ipv6Policy: "force-ipv4" | "prefer-ipv6" | "force-ipv6" | "use-agent-policy";
  /** Differentiated services code point of the probes. */
  dscpId: "0" | "8" | "16" | "24" | "32" | "40" | "48" | "56" | "10" | "12" | "14" | "18" | "20" | "22" | "26" | "28" | "30" | "34" | "36" | "38" | "46" | "44";
  /** Label of the code point. */
  dscp?: string;
  /** One probe each second for the whole interval. */
  continuousMode: boolean;
  /** Agents start at a random moment of each round. */
  randomizedStartTime: boolean;
  /** Measure capacity and free bandwidth. */
  bandwidthMeasurements: boolean;
  /** Measure the largest packet of the path. */
  mtuMeasurements: boolean;
  /** Show loss in intervals of one second. */
  networkMeasurements: boolean;
  /** Watch the routes to the target. */
  bgpMeasurements: boolean;
  /** Use the public BGP monitors. */
  usePublicBgp: boolean;
  /** Ids of the BGP monitors to use. */
  monitors?: string[];
}
export const AgentToServerWritablePropertyFields_FIELDS: readonly FieldInfo[] = [
  { name: "server", kind: "str", help: "Host to measure, by name or address; a port follows a colon", min: 1, max: 261, required: true },
  { name: "port", kind: "i32", help: "TCP port; 80 when neither this nor the server names one", min: 1, max: 65535 },
  { name: "protocol", kind: "enum", help: "Protocol of the probes", preset: "tcp", words: ["tcp", "icmp"] },
  { name: "probeMode", kind: "enum", help: "How TCP probes the target; auto prefers SACK", preset: "auto", words: ["auto", "sack", "syn"] },
  { name: "numPathTraces", kind: "i32", help: "Path traces of a round, each with a flow of its own", preset: "3", min: 1, max: 10 },
  { name: "pathTraceMode", kind: "enum", help: "Whether path traces run within a TCP session", preset: "classic", words: ["classic", "in-session"] },
  { name: "pingPayloadSize", kind: "i32", help: "Payload of the probes of the end-to-end stream; the least that measures when not given", min: 0, max: 1400, unit: "bytes" },
  { name: "fixedPacketRate", kind: "i32", help: "Fixed rate of the end-to-end stream from 10 to 100; adapted to the round-trip time when not given", min: 0, max: 100, unit: "packets/s" },
  { name: "ipv6Policy", kind: "enum", help: "Which addresses of a name are used", preset: "use-agent-policy", words: ["force-ipv4", "prefer-ipv6", "force-ipv6", "use-agent-policy"] },
  { name: "dscpId", kind: "enum", help: "Differentiated services code point of the probes", preset: "0", words: ["0", "8", "16", "24", "32", "40", "48", "56", "10", "12", "14", "18", "20", "22", "26", "28", "30", "34", "36", "38", "46", "44"], advanced: true },
  { name: "dscp", kind: "str", help: "Label of the code point", readonly: true },
  { name: "continuousMode", kind: "bool", help: "One probe each second for the whole interval", preset: "false", advanced: true },
  { name: "randomizedStartTime", kind: "bool", help: "Agents start at a random moment of each round", preset: "false", advanced: true },
  { name: "bandwidthMeasurements", kind: "bool", help: "Measure capacity and free bandwidth", preset: "false", ignored: true, advanced: true },
  { name: "mtuMeasurements", kind: "bool", help: "Measure the largest packet of the path", preset: "true", ignored: true, advanced: true },
  { name: "networkMeasurements", kind: "bool", help: "Show loss in intervals of one second", preset: "true", ignored: true, advanced: true },
  { name: "bgpMeasurements", kind: "bool", help: "Watch the routes to the target", preset: "true", ignored: true, advanced: true },
  { name: "usePublicBgp", kind: "bool", help: "Use the public BGP monitors", preset: "true", ignored: true, advanced: true },
  { name: "monitors", kind: "strs", help: "Ids of the BGP monitors to use", secret: true, ignored: true, advanced: true },
];

/** An agent that runs the test. */
export interface TestAgentRequest {
  /** The agent. */
  agentId: string;
  /** Which of its addresses it sends from. */
  sourceIpAddress?: string;
}
export const TestAgentRequest_FIELDS: readonly FieldInfo[] = [
  { name: "agentId", kind: "id", help: "The agent", required: true },
  { name: "sourceIpAddress", kind: "str", help: "Which of its addresses it sends from", min: 0, max: 64 },
];

/** What all tests have in common. */
export interface TestRequest {
  /** Id of the test. */
  testId?: string;
  /** Name of the test, unique; the target when absent. */
  testName?: string;
  /** What it is for. */
  description?: string;
  /** Type of the test. */
  type?: string;
  /** Who created it. */
  createdBy?: string;
  /** When it was created. */
  createdDate?: string;
  /** Who changed it last. */
  modifiedBy?: string;
  /** When it was changed last. */
  modifiedDate?: string;
  /** It is shared with this account group. */
  liveShare: boolean;
  /** It is a saved event. */
  savedEvent: boolean;
  /** Agents that run it. */
  agents: TestAgentRequest[];
  /** Label ids. */
  labels?: string[];
  /** Tag ids. */
  tags?: string[];
  /** Account groups it is shared with. */
  sharedWithAccounts?: string[];
  /** Time between rounds (s). */
  interval: 60 | 120 | 300 | 600 | 900 | 1800 | 3600;
  /** It raises alerts. */
  alertsEnabled: boolean;
  /** It runs. */
  enabled: boolean;
  /** Alert rule ids. */
  alertRules?: string[];
}
export const TestRequest_FIELDS: readonly FieldInfo[] = [
  { name: "testId", kind: "id", help: "Id of the test", readonly: true },
  { name: "testName", kind: "str", help: "Name of the test, unique; the target when absent", min: 0, max: 255 },
  { name: "description", kind: "str", help: "What it is for", min: 0, max: 10000 },
  { name: "type", kind: "str", help: "Type of the test", readonly: true },
  { name: "createdBy", kind: "str", help: "Who created it", readonly: true },
  { name: "createdDate", kind: "time", help: "When it was created", readonly: true },
  { name: "modifiedBy", kind: "str", help: "Who changed it last", readonly: true },
  { name: "modifiedDate", kind: "time", help: "When it was changed last", readonly: true },
  { name: "liveShare", kind: "bool", help: "It is shared with this account group", readonly: true },
  { name: "savedEvent", kind: "bool", help: "It is a saved event", readonly: true },
  { name: "agents", kind: "list", help: "Agents that run it", min: 0, max: 10000, fields: TestAgentRequest_FIELDS, required: true },
  { name: "labels", kind: "strs", help: "Label ids", min: 0, max: 1000 },
  { name: "tags", kind: "strs", help: "Tag ids", min: 0, max: 1000 },
  { name: "sharedWithAccounts", kind: "strs", help: "Account groups it is shared with", min: 0, max: 1000 },
  { name: "interval", kind: "i32", help: "Time between rounds", unit: "s", words: ["60", "120", "300", "600", "900", "1800", "3600"], required: true },
  { name: "alertsEnabled", kind: "bool", help: "It raises alerts", preset: "true" },
  { name: "enabled", kind: "bool", help: "It runs", preset: "true" },
  { name: "alertRules", kind: "strs", help: "Alert rule ids", min: 0, max: 1000 },
];

/** An agent as a test lists it. */
export interface AgentResponse {
  /** Id of the agent. */
  agentId?: string;
  /** Name of the agent. */
  agentName?: string;
  /** Kind of agent. */
  agentType: "cloud" | "enterprise-cluster" | "enterprise";
  /** Where it stands. */
  location?: string;
  /** ISO 3166 country code. */
  countryId?: string;
  /** Where it stands. */
  coordinates?: Coordinates;
  /** Its own addresses. */
  ipAddresses?: string[];
  /** Addresses the server sees it with. */
  publicIpAddresses?: string[];
  /** Network of its public address. */
  network?: string;
  /** Prefix of its public address. */
  prefix?: string;
  /** It gets tests to run. */
  enabled: boolean;
  /** It refuses certificates it cannot verify. */
  verifySslCertificates: boolean;
}
export const AgentResponse_FIELDS: readonly FieldInfo[] = [
  { name: "agentId", kind: "id", help: "Id of the agent", readonly: true },
  { name: "agentName", kind: "str", help: "Name of the agent" },
  { name: "agentType", kind: "enum", help: "Kind of agent", words: ["cloud", "enterprise-cluster", "enterprise"], required: true, readonly: true },
  { name: "location", kind: "str", help: "Where it stands", readonly: true },
  { name: "countryId", kind: "str", help: "ISO 3166 country code", readonly: true },
  { name: "coordinates", kind: "record", help: "Where it stands", fields: Coordinates_FIELDS, readonly: true },
  { name: "ipAddresses", kind: "strs", help: "Its own addresses", readonly: true },
  { name: "publicIpAddresses", kind: "strs", help: "Addresses the server sees it with", readonly: true },
  { name: "network", kind: "str", help: "Network of its public address", readonly: true },
  { name: "prefix", kind: "str", help: "Prefix of its public address", readonly: true },
  { name: "enabled", kind: "bool", help: "It gets tests to run", preset: "true" },
  { name: "verifySslCertificates", kind: "bool", help: "It refuses certificates it cannot verify", readonly: true },
];

/** A label of a test. */
export interface TestLabel {
  /** Its id. */
  labelId?: string;
  /** Its name. */
  name?: string;
}
export const TestLabel_FIELDS: readonly FieldInfo[] = [
  { name: "labelId", kind: "str", help: "Its id" },
  { name: "name", kind: "str", help: "Its name" },
];

/** A tag of a test. */
export interface TestTag {
  /** Its id. */
  id?: string;
  /** Its name. */
  key?: string;
}
export const TestTag_FIELDS: readonly FieldInfo[] = [
  { name: "id", kind: "str", help: "Its id" },
  { name: "key", kind: "str", help: "Its name" },
];

/** An account group a test is shared with. */
export interface SharedWithAccount {
  /** Its id. */
  aid?: string;
  /** Its name. */
  name?: string;
}
export const SharedWithAccount_FIELDS: readonly FieldInfo[] = [
  { name: "aid", kind: "str", help: "Its id" },
  { name: "name", kind: "str", help: "Its name" },
];

/** An alert rule of a test. */
export interface AlertRule {
  /** Its id. */
  ruleId?: string;
  /** Its name. */
  ruleName?: string;
}
export const AlertRule_FIELDS: readonly FieldInfo[] = [
  { name: "ruleId", kind: "str", help: "Its id" },
  { name: "ruleName", kind: "str", help: "Its name" },
];

/** A BGP monitor of a test. */
export interface Monitor {
  /** Its id. */
  monitorId?: string;
  /** Its name. */
  monitorName?: string;
}
export const Monitor_FIELDS: readonly FieldInfo[] = [
  { name: "monitorId", kind: "str", help: "Its id" },
  { name: "monitorName", kind: "str", help: "Its name" },
];

/** A test. */
export interface Test {
  /** Id of the test. */
  testId?: string;
  /** Name of the test. */
  testName?: string;
  /** What it is for. */
  description?: string;
  /** Type of the test. */
  type?: string;
  /** Who created it. */
  createdBy?: string;
  /** When it was created. */
  createdDate?: string;
  /** Who changed it last. */
  modifiedBy?: string;
  /** When it was changed last. */
  modifiedDate?: string;
  /** It is shared with this account group. */
  liveShare: boolean;
  /** It is a saved event. */
  savedEvent: boolean;
  /** Time between rounds (s). */
  interval?: 60 | 120 | 300 | 600 | 900 | 1800 | 3600;
  /** It raises alerts. */
  alertsEnabled: boolean;
  /** It runs. */
  enabled: boolean;
  /** Agents that run it. */
  agents?: AgentResponse[];
  /** Its labels. */
  labels?: TestLabel[];
  /** Its tags. */
  tags?: TestTag[];
  /** Account groups it is shared with. */
  sharedWithAccounts?: SharedWithAccount[];
  /** Its alert rules. */
  alertRules?: AlertRule[];
  /** Its BGP monitors. */
  monitors?: Monitor[];
}
export const Test_FIELDS: readonly FieldInfo[] = [
  { name: "testId", kind: "id", help: "Id of the test", readonly: true },
  { name: "testName", kind: "str", help: "Name of the test" },
  { name: "description", kind: "str", help: "What it is for" },
  { name: "type", kind: "str", help: "Type of the test", readonly: true },
  { name: "createdBy", kind: "str", help: "Who created it", readonly: true },
  { name: "createdDate", kind: "time", help: "When it was created", readonly: true },
  { name: "modifiedBy", kind: "str", help: "Who changed it last", readonly: true },
  { name: "modifiedDate", kind: "time", help: "When it was changed last", readonly: true },
  { name: "liveShare", kind: "bool", help: "It is shared with this account group", readonly: true },
  { name: "savedEvent", kind: "bool", help: "It is a saved event", readonly: true },
  { name: "interval", kind: "i32", help: "Time between rounds", unit: "s", words: ["60", "120", "300", "600", "900", "1800", "3600"] },
  { name: "alertsEnabled", kind: "bool", help: "It raises alerts" },
  { name: "enabled", kind: "bool", help: "It runs" },
  { name: "agents", kind: "list", help: "Agents that run it", fields: AgentResponse_FIELDS },
  { name: "labels", kind: "list", help: "Its labels", fields: TestLabel_FIELDS, readonly: true },
  { name: "tags", kind: "list", help: "Its tags", fields: TestTag_FIELDS, readonly: true },
  { name: "sharedWithAccounts", kind: "list", help: "Account groups it is shared with", fields: SharedWithAccount_FIELDS, readonly: true },
  { name: "alertRules", kind: "list", help: "Its alert rules", fields: AlertRule_FIELDS, readonly: true },
  { name: "monitors", kind: "list", help: "Its BGP monitors", fields: Monitor_FIELDS, readonly: true },
];

/** What all instant tests have in common. */
export interface InstantTestRequest {
  /** Id of the test. */
  testId?: string;
  /** Name of the test, unique; the target when absent. */
  testName?: string;
  /** What it is for. */
  description?: string;
  /** Type of the test. */
  type?: string;
  /** Who created it. */
  createdBy?: string;
  /** When it was created. */
  createdDate?: string;
  /** Who changed it last. */
  modifiedBy?: string;
  /** When it was changed last. */
  modifiedDate?: string;
  /** It is shared with this account group. */
  liveShare: boolean;
  /** It is a saved event. */
  savedEvent: boolean;
  /** Agents that run it. */
  agents: TestAgentRequest[];
  /** Label ids. */
  labels?: string[];
  /** Tag ids. */
  tags?: string[];
  /** Account groups it is shared with. */
  sharedWithAccounts?: string[];
}
export const InstantTestRequest_FIELDS: readonly FieldInfo[] = [
  { name: "testId", kind: "id", help: "Id of the test", readonly: true },
  { name: "testName", kind: "str", help: "Name of the test, unique; the target when absent", min: 0, max: 255 },
  { name: "description", kind: "str", help: "What it is for", min: 0, max: 10000 },
  { name: "type", kind: "str", help: "Type of the test", readonly: true },
  { name: "createdBy", kind: "str", help: "Who created it", readonly: true },
  { name: "createdDate", kind: "time", help: "When it was created", readonly: true },
  { name: "modifiedBy", kind: "str", help: "Who changed it last", readonly: true },
  { name: "modifiedDate", kind: "time", help: "When it was changed last", readonly: true },
  { name: "liveShare", kind: "bool", help: "It is shared with this account group", readonly: true },
  { name: "savedEvent", kind: "bool", help: "It is a saved event", readonly: true },
  { name: "agents", kind: "list", help: "Agents that run it", min: 0, max: 10000, fields: TestAgentRequest_FIELDS, required: true },
  { name: "labels", kind: "strs", help: "Label ids", min: 0, max: 1000 },
  { name: "tags", kind: "strs", help: "Tag ids", min: 0, max: 1000 },
  { name: "sharedWithAccounts", kind: "strs", help: "Account groups it is shared with", min: 0, max: 1000 },
];

/** A test that runs only when asked. */
export interface InstantTest {
  /** Id of the test. */
  testId?: string;
  /** Name of the test. */
  testName?: string;
  /** What it is for. */
  description?: string;
  /** Type of the test. */
  type?: string;
  /** Who created it. */
  createdBy?: string;
  /** When it was created. */
  createdDate?: string;
  /** Who changed it last. */
  modifiedBy?: string;
  /** When it was changed last. */
  modifiedDate?: string;
  /** It is shared with this account group. */
  liveShare: boolean;
  /** It is a saved event. */
  savedEvent: boolean;
  /** Agents that run it. */
  agents?: AgentResponse[];
  /** Its labels. */
  labels?: TestLabel[];
  /** Its tags. */
  tags?: TestTag[];
  /** Account groups it is shared with. */
  sharedWithAccounts?: SharedWithAccount[];
}
export const InstantTest_FIELDS: readonly FieldInfo[] = [
  { name: "testId", kind: "id", help: "Id of the test", readonly: true },
  { name: "testName", kind: "str", help: "Name of the test" },
  { name: "description", kind: "str", help: "What it is for" },
  { name: "type", kind: "str", help: "Type of the test", readonly: true },
  { name: "createdBy", kind: "str", help: "Who created it", readonly: true },
  { name: "createdDate", kind: "time", help: "When it was created", readonly: true },
  { name: "modifiedBy", kind: "str", help: "Who changed it last", readonly: true },
  { name: "modifiedDate", kind: "time", help: "When it was changed last", readonly: true },
  { name: "liveShare", kind: "bool", help: "It is shared with this account group", readonly: true },
  { name: "savedEvent", kind: "bool", help: "It is a saved event", readonly: true },
  { name: "agents", kind: "list", help: "Agents that run it", fields: AgentResponse_FIELDS },
  { name: "labels", kind: "list", help: "Its labels", fields: TestLabel_FIELDS, readonly: true },
  { name: "tags", kind: "list", help: "Its tags", fields: TestTag_FIELDS, readonly: true },
  { name: "sharedWithAccounts", kind: "list", help: "Account groups it is shared with", fields: SharedWithAccount_FIELDS, readonly: true },
];

/** The agent of a result. */
export interface TestResultAgent {
  /** Id of the agent. */
  agentId?: string;
  /** Name of the agent. */
  agentName?: string;
  /** ISO 3166 country code. */
  countryId?: string;
  /** Where it stands. */
  location?: string;
}
export const TestResultAgent_FIELDS: readonly FieldInfo[] = [
  { name: "agentId", kind: "id", help: "Id of the agent", readonly: true },
  { name: "agentName", kind: "str", help: "Name of the agent", readonly: true },
  { name: "countryId", kind: "str", help: "ISO 3166 country code", readonly: true },
  { name: "location", kind: "str", help: "Where it stands", readonly: true },
];

/** What every result says. */
export interface TestResult {
  /** Who measured. */
  agent: TestResultAgent;
  /** When the round began. */
  date?: string;
  /** Epoch second of the round's slot. */
  roundId?: number;
  /** Epoch second at which the agent began (s). */
  startTime?: number;
  /** Epoch second at which the agent was done (s). */
  endTime?: number;
}
export const TestResult_FIELDS: readonly FieldInfo[] = [
  { name: "agent", kind: "record", help: "Who measured", fields: TestResultAgent_FIELDS },
  { name: "date", kind: "time", help: "When the round began", readonly: true },
  { name: "roundId", kind: "i64", help: "Epoch second of the round's slot", readonly: true },
  { name: "startTime", kind: "i64", help: "Epoch second at which the agent began", unit: "s", readonly: true },
  { name: "endTime", kind: "i64", help: "Epoch second at which the agent was done", unit: "s", readonly: true },
];

/** What stands behind the figures of an end-to-end stream. */
export interface OculiNetwork {
  /** Probes sent. */
  sent?: number;
  /** Probes answered by the target. */
  received?: number;
  /** Further answers to probes that had been answered. */
  duplicates?: number;
  /** Answers that came after the answer to a later probe. */
  reordered?: number;
  /** How the target was probed. */
  probeMode?: "icmp" | "syn" | "sack";
  /** Why it was probed so. */
  probeModeReason?: string;
  /** Median round-trip time (ms). */
  medianLatency?: number;
  /** Round-trip time of each probe in the order of sending, -1 where no answer came (us). */
  rttsUs?: number[];
  /** Probes that were answered by an ICMP error. */
  icmpErrors?: number;
  /** Type and code of the last ICMP error. */
  icmp?: string;
  /** Who sent the last ICMP error. */
  icmpFrom?: string;
  /** The measuring machine itself dropped packets, so that loss may be its own. */
  overloaded: boolean;
  /** The round was ended before all probes were sent and awaited. */
  partial: boolean;
}
export const OculiNetwork_FIELDS: readonly FieldInfo[] = [
  { name: "sent", kind: "i32", help: "Probes sent", readonly: true },
  { name: "received", kind: "i32", help: "Probes answered by the target", readonly: true },
  { name: "duplicates", kind: "i32", help: "Further answers to probes that had been answered", readonly: true },
  { name: "reordered", kind: "i32", help: "Answers that came after the answer to a later probe", readonly: true },
  { name: "probeMode", kind: "enum", help: "How the target was probed", words: ["icmp", "syn", "sack"], readonly: true },
  { name: "probeModeReason", kind: "str", help: "Why it was probed so", readonly: true },
  { name: "medianLatency", kind: "f64", help: "Median round-trip time", unit: "ms", readonly: true },
  { name: "rttsUs", kind: "i64s", help: "Round-trip time of each probe in the order of sending, -1 where no answer came", unit: "us", readonly: true },
  { name: "icmpErrors", kind: "i32", help: "Probes that were answered by an ICMP error", readonly: true },
  { name: "icmp", kind: "str", help: "Type and code of the last ICMP error", readonly: true },
  { name: "icmpFrom", kind: "str", help: "Who sent the last ICMP error", readonly: true },
  { name: "overloaded", kind: "bool", help: "The measuring machine itself dropped packets, so that loss may be its own", readonly: true },
  { name: "partial", kind: "bool", help: "The round was ended before all probes were sent and awaited", readonly: true },
];

/** Loss, latency and jitter to a server. */
export interface NetworkTestResult {
  /** Bandwidth free from the agent to the server (Mbps). */
  availableBandwidth?: number;
  /** Mean round-trip time to the server (ms). */
  avgLatency?: number;
  /** Bandwidth used between the agent and the server (Mbps). */
  bandwidth?: number;
  /** Capacity of the narrowest link from the agent to the server (Mbps). */
  capacity?: number;
  /** Mean absolute deviation of the round-trip times from their mean (ms). */
  jitter?: number;
  /** Share of the probes that were not answered (%). */
  loss?: number;
  /** Longest round-trip time (ms). */
  maxLatency?: number;
  /** Shortest round-trip time (ms). */
  minLatency?: number;
  /** Share of the probes that the proxy did not answer (%). */
  proxyLoss?: number;
  /** Mean round-trip time to the proxy (ms). */
  proxyAverageLatency?: number;
  /** Shortest round-trip time to the proxy (ms). */
  proxyMinLatency?: number;
  /** Longest round-trip time to the proxy (ms). */
  proxyMaxLatency?: number;
  /** Mean absolute deviation of the round-trip times to the proxy (ms). */
  proxyJitter?: number;
  /** Address of the server. */
  serverIp?: string;
  /** The server as the test names it. */
  server?: string;
  /** Health of the connection from 0.0 to 1.0. */
  healthScore?: number;
  /** Direction that was measured. */
  direction?: "to-target" | "from-target" | "bidirectional";
  /** Why nothing could be measured. */
  errorDetails?: string;
  /** What stands behind the figures. */
  oculi: OculiNetwork;
}
export const NetworkTestResult_FIELDS: readonly FieldInfo[] = [
  { name: "availableBandwidth", kind: "f64", help: "Bandwidth free from the agent to the server", unit: "Mbps", readonly: true },
  { name: "avgLatency", kind: "f64", help: "Mean round-trip time to the server", unit: "ms", readonly: true },
  { name: "bandwidth", kind: "f64", help: "Bandwidth used between the agent and the server", unit: "Mbps", readonly: true },
  { name: "capacity", kind: "f64", help: "Capacity of the narrowest link from the agent to the server", unit: "Mbps", readonly: true },
  { name: "jitter", kind: "f64", help: "Mean absolute deviation of the round-trip times from their mean", unit: "ms", readonly: true },
  { name: "loss", kind: "f64", help: "Share of the probes that were not answered", unit: "%", readonly: true },
  { name: "maxLatency", kind: "f64", help: "Longest round-trip time", unit: "ms", readonly: true },
  { name: "minLatency", kind: "f64", help: "Shortest round-trip time", unit: "ms", readonly: true },
  { name: "proxyLoss", kind: "f64", help: "Share of the probes that the proxy did not answer", unit: "%", readonly: true },
  { name: "proxyAverageLatency", kind: "f64", help: "Mean round-trip time to the proxy", unit: "ms", readonly: true },
  { name: "proxyMinLatency", kind: "f64", help: "Shortest round-trip time to the proxy", unit: "ms", readonly: true },
  { name: "proxyMaxLatency", kind: "f64", help: "Longest round-trip time to the proxy", unit: "ms", readonly: true },
  { name: "proxyJitter", kind: "f64", help: "Mean absolute deviation of the round-trip times to the proxy", unit: "ms", readonly: true },
  { name: "serverIp", kind: "str", help: "Address of the server", readonly: true },
  { name: "server", kind: "str", help: "The server as the test names it", readonly: true },
  { name: "healthScore", kind: "f64", help: "Health of the connection from 0.0 to 1.0", readonly: true },
  { name: "direction", kind: "enum", help: "Direction that was measured", words: ["to-target", "from-target", "bidirectional"], readonly: true },
  { name: "errorDetails", kind: "str", help: "Why nothing could be measured", readonly: true },
  { name: "oculi", kind: "record", help: "What stands behind the figures", fields: OculiNetwork_FIELDS, readonly: true },
];

/** The answers of one hop. */
export interface OculiHop {
  /** Mean round-trip time to this address (us). */
  responseTimeUs?: number;
  /** Probes sent with this TTL. */
  sent?: number;
  /** Probes this address answered. */
  received?: number;
  /** TTL of the answer as it arrived. */
  replyTtl?: number;
  /** TTL of the probe as the answer quotes it. */
  quotedTtl?: number;
  /** ICMP type and code of the answer. */
  icmp?: string;
}
export const OculiHop_FIELDS: readonly FieldInfo[] = [
  { name: "responseTimeUs", kind: "f64", help: "Mean round-trip time to this address", unit: "us", readonly: true },
  { name: "sent", kind: "i32", help: "Probes sent with this TTL", readonly: true },
  { name: "received", kind: "i32", help: "Probes this address answered", readonly: true },
  { name: "replyTtl", kind: "i32", help: "TTL of the answer as it arrived", readonly: true },
  { name: "quotedTtl", kind: "i32", help: "TTL of the probe as the answer quotes it", readonly: true },
  { name: "icmp", kind: "str", help: "ICMP type and code of the answer", readonly: true },
];

/** One hop of a path trace. */
export interface PathVisHop {
  /** Distance from the agent; silent hops are missing. */
  hop?: number;
  /** Address that answered. */
  ipAddress?: string;
  /** Announced prefix that covers the address. */
  prefix?: string;
  /** Name of the address. */
  rdns?: string;
  /** Network that originates the prefix. */
  network?: string;
  /** Round-trip time to the address (ms). */
  responseTime?: number;
  /** Place of the address. */
  location?: string;
  /** MPLS label stack that the probe carried here: label, experimental bits, bottom of stack and TTL of each entry from the top, entries joined by "; ". */
  mpls?: string;
  /** The answers in detail. */
  oculi: OculiHop;
}
export const PathVisHop_FIELDS: readonly FieldInfo[] = [
  { name: "hop", kind: "i32", help: "Distance from the agent; silent hops are missing", readonly: true },
  { name: "ipAddress", kind: "str", help: "Address that answered", readonly: true },
  { name: "prefix", kind: "str", help: "Announced prefix that covers the address", readonly: true },
  { name: "rdns", kind: "str", help: "Name of the address", readonly: true },
  { name: "network", kind: "str", help: "Network that originates the prefix", readonly: true },
  { name: "responseTime", kind: "i32", help: "Round-trip time to the address", unit: "ms", readonly: true },
  { name: "location", kind: "str", help: "Place of the address", readonly: true },
  { name: "mpls", kind: "str", help: "MPLS label stack that the probe carried here: label, experimental bits, bottom of stack and TTL of each entry from the top, entries joined by \"; \"", readonly: true },
  { name: "oculi", kind: "record", help: "The answers in detail", fields: OculiHop_FIELDS, readonly: true },
];

/** A distance at which nobody answered. */
export interface OculiSilentHop {
  /** Distance from the agent. */
  hop?: number;
  /** Probes sent with this TTL. */
  sent?: number;
}
export const OculiSilentHop_FIELDS: readonly FieldInfo[] = [
  { name: "hop", kind: "i32", help: "Distance from the agent", readonly: true },
  { name: "sent", kind: "i32", help: "Probes sent with this TTL", readonly: true },
];

/** A path trace in detail. */
export interface OculiPathTrace {
  /** How the trace ended. */
  end?: "reached" | "silent" | "unreachable" | "prohibited" | "reset" | "loop";
  /** Number of the flow within the round, from 1. */
  flow?: number;
  /** Distances that were probed without an answer. */
  silentHops?: OculiSilentHop[];
}
export const OculiPathTrace_FIELDS: readonly FieldInfo[] = [
  { name: "end", kind: "enum", help: "How the trace ended", words: ["reached", "silent", "unreachable", "prohibited", "reset", "loop"], readonly: true },
  { name: "flow", kind: "i32", help: "Number of the flow within the round, from 1", readonly: true },
  { name: "silentHops", kind: "list", help: "Distances that were probed without an answer", fields: OculiSilentHop_FIELDS, readonly: true },
];

/** One path trace with its hops. */
export interface PathVisRoute {
  /** The same for traces along the same addresses. */
  pathId?: string;
  /** The hops that answered. */
  hops?: PathVisHop[];
  /** The trace in detail. */
  oculi: OculiPathTrace;
}
export const PathVisRoute_FIELDS: readonly FieldInfo[] = [
  { name: "pathId", kind: "id", help: "The same for traces along the same addresses", readonly: true },
  { name: "hops", kind: "list", help: "The hops that answered", fields: PathVisHop_FIELDS, readonly: true },
  { name: "oculi", kind: "record", help: "The trace in detail", fields: OculiPathTrace_FIELDS, readonly: true },
];

/** The paths to a server. */
export interface PathVisDetailTestResult {
  /** The server as the test names it. */
  server?: string;
  /** Address of the server. */
  serverIp?: string;
  /** Address of the agent on the path. */
  sourceIp?: string;
  /** Announced prefix that covers the agent's address. */
  sourcePrefix?: string;
  /** The traces go to a proxy. */
  targetIsProxy: boolean;
  /** Direction of the path traces. */
  direction?: "to-target" | "from-target";
  /** The path traces of the round, each with a flow of its own. */
  pathTraces?: PathVisRoute[];
}
export const PathVisDetailTestResult_FIELDS: readonly FieldInfo[] = [
  { name: "server", kind: "str", help: "The server as the test names it", readonly: true },
  { name: "serverIp", kind: "str", help: "Address of the server", readonly: true },
  { name: "sourceIp", kind: "str", help: "Address of the agent on the path", readonly: true },
  { name: "sourcePrefix", kind: "str", help: "Announced prefix that covers the agent's address", readonly: true },
  { name: "targetIsProxy", kind: "bool", help: "The traces go to a proxy", readonly: true },
  { name: "direction", kind: "enum", help: "Direction of the path traces", words: ["to-target", "from-target"], readonly: true },
  { name: "pathTraces", kind: "list", help: "The path traces of the round, each with a flow of its own", fields: PathVisRoute_FIELDS, readonly: true },
];

/** One path trace in short. */
export interface PathTrace {
  /** Address of the last hop that answered. */
  ipAddress?: string;
  /** Maximum segment size the target offers (bytes). */
  mss?: number;
  /** Distance of the last hop that answered. */
  numberOfHops?: number;
  /** The same for traces along the same addresses. */
  pathId?: string;
  /** Largest packet that the path carries (bytes). */
  pathMtu?: number;
  /** Round-trip time to the target (ms). */
  responseTime?: number;
}
export const PathTrace_FIELDS: readonly FieldInfo[] = [
  { name: "ipAddress", kind: "str", help: "Address of the last hop that answered", readonly: true },
  { name: "mss", kind: "i32", help: "Maximum segment size the target offers", unit: "bytes", readonly: true },
  { name: "numberOfHops", kind: "i32", help: "Distance of the last hop that answered", readonly: true },
  { name: "pathId", kind: "id", help: "The same for traces along the same addresses", readonly: true },
  { name: "pathMtu", kind: "i32", help: "Largest packet that the path carries", unit: "bytes", readonly: true },
  { name: "responseTime", kind: "i32", help: "Round-trip time to the target", unit: "ms", readonly: true },
];

/** The paths to a server in short. */
export interface PathVisTestResult {
  /** The server as the test names it. */
  server?: string;
  /** Address of the server. */
  serverIp?: string;
  /** Address of the agent on the path. */
  sourceIp?: string;
  /** Announced prefix that covers the agent's address. */
  sourcePrefix?: string;
  /** The traces go to a proxy. */
  targetIsProxy: boolean;
  /** Direction of the path traces. */
  direction?: "to-target" | "from-target";
  /** The path traces of the round, each with a flow of its own. */
  pathTraces?: PathTrace[];
}
export const PathVisTestResult_FIELDS: readonly FieldInfo[] = [
  { name: "server", kind: "str", help: "The server as the test names it", readonly: true },
  { name: "serverIp", kind: "str", help: "Address of the server", readonly: true },
  { name: "sourceIp", kind: "str", help: "Address of the agent on the path", readonly: true },
  { name: "sourcePrefix", kind: "str", help: "Announced prefix that covers the agent's address", readonly: true },
  { name: "targetIsProxy", kind: "bool", help: "The traces go to a proxy", readonly: true },
  { name: "direction", kind: "enum", help: "Direction of the path traces", words: ["to-target", "from-target"], readonly: true },
  { name: "pathTraces", kind: "list", help: "The path traces of the round, each with a flow of its own", fields: PathTrace_FIELDS, readonly: true },
];

/** First-run facts. */
export interface Start {
  /** What an agent shows to register. */
  agentToken?: string;
  /** Where agents reach this server. */
  serverUrl?: string;
  /** What to type on the agent's machine. */
  agentCommand?: string;
  /** Agents there are. */
  agents?: number;
  /** Tests there are. */
  tests?: number;
  /** Version of the server. */
  version?: string;
}
export const Start_FIELDS: readonly FieldInfo[] = [
  { name: "agentToken", kind: "str", help: "What an agent shows to register" },
  { name: "serverUrl", kind: "str", help: "Where agents reach this server" },
  { name: "agentCommand", kind: "str", help: "What to type on the agent's machine" },
  { name: "agents", kind: "i64", help: "Agents there are" },
  { name: "tests", kind: "i64", help: "Tests there are" },
  { name: "version", kind: "str", help: "Version of the server" },
];

export const MEASURE_TYPES = [
  { name: "agent-to-server", title: "Agent to server", help: "Loss, latency, jitter and paths from an agent to a host", target: "server", defaultView: "path", fields: AgentToServerWritablePropertyFields_FIELDS,
    metrics: [
      { id: "loss", title: "Loss", unit: "%", part: "network", help: "Share of the probes that were not answered", isHigherWorse: true },
      { id: "avgLatency", title: "Latency", unit: "ms", part: "network", help: "Mean round-trip time", isHigherWorse: true },
      { id: "jitter", title: "Jitter", unit: "ms", part: "network", help: "Mean absolute deviation of the round-trip times from their mean", isHigherWorse: true },
      { id: "maxLatency", title: "Longest latency", unit: "ms", part: "network", help: "Longest round-trip time", isHigherWorse: true },
    ],
    parts: [{ name: "network", path: "network" }, { name: "pathVis", path: "path-vis" }],
  },
] as const;
