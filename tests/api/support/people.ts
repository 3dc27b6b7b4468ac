// Users and roles for checks: somebody who may do just so much, with a session or a bearer token.
import type { Answer, Call, Server } from "./server.ts";

/* eslint-disable @typescript-eslint/no-explicit-any */
export interface Permission {
  id: string;
  label: string;
  name: string;
  isManagement: boolean;
}

export async function permissions(server: Server): Promise<Permission[]> {
  const answer = await server.get("/v7/permissions");
  return answer.json.permissions.map((item: any) => ({
    id: item.permissionId, label: item.label, name: item.permission, isManagement: item.isManagementPermission,
  }));
}

function good(answer: Answer, status: number, what: string): any {
  if (answer.status !== status) throw new Error(`${what}: ${answer.status} ${answer.text}`);
  return answer.json;
}

/** A role with these permissions and leave to sign in with a password; its id. */
export async function makeRole(server: Server, name: string, ids: string[]): Promise<string> {
  const signIn = (await permissions(server)).find((permission) => permission.name === "LOGIN_VIA_PASSWORD")!.id;
  return good(await server.post("/v7/roles", { name, permissions: [...new Set([...ids, signIn])] }), 201, `role ${name}`).roleId;
}

export async function makeGroup(server: Server, name: string): Promise<string> {
  return good(await server.post("/v7/account-groups", { accountGroupName: name }), 201, `account group ${name}`).aid;
}

export const PASSWORD = "Correct-horse battery 7";

export class Person {
  readonly server: Server;
  readonly uid: string;
  readonly email: string;
  cookie = "";
  token = "";
  constructor(server: Server, uid: string, email: string) {
    this.server = server;
    this.uid = uid;
    this.email = email;
  }
  /** How to call as this person, with the bearer token or with the browser's session. */
  get bearer(): Call {
    return { token: this.token };
  }
  get session(): Call {
    return { token: null, headers: { Cookie: this.cookie, "X-Oculi-Request": "1" } };
  }
  async signIn(password = PASSWORD): Promise<void> {
    this.cookie = await this.server.signIn(this.email, password);
  }
  /** Signs in for the first time with a one-time password, and chooses PASSWORD. */
  async start(): Promise<this> {
    const made = good(await this.server.post(`/oculi/v1/users/${this.uid}/one-time-password`), 201, "one-time password");
    await this.signIn(made.password);
    good(await this.server.put("/oculi/v1/session/password", { current: made.password, new: PASSWORD }, this.session), 204, "password");
    return this;
  }
  async takeToken(): Promise<this> {
    this.token = good(await this.server.post("/v7/api-tokens", undefined, this.session), 201, "token").bearerToken;
    return this;
  }
}

export interface Grants {
  login: string;
  groups?: Record<string, string[]>;
  all?: string[];
}

/** A user who has signed in once; takeToken() gives a bearer token where the role has API access. */
export async function makePerson(server: Server, email: string, grants: Grants): Promise<Person> {
  const body = {
    name: email.split("@")[0], email, loginAccountGroupId: grants.login,
    ...(grants.groups ? { accountGroupRoles: Object.entries(grants.groups).map(([accountGroupId, roleIds]) => ({ accountGroupId, roleIds })) } : {}),
    ...(grants.all ? { allAccountGroupRoleIds: grants.all } : {}),
  };
  const made = good(await server.post("/v7/users", body), 201, `user ${email}`);
  return new Person(server, made.uid, email).start();
}
