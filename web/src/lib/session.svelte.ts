/* Who is signed in. null = nobody, undefined = not known yet. */
import { api, Problem, asProblem, whenSignedOut } from './api';
import type { Session } from './types';

class SessionState {
  current = $state.raw<Session | null | undefined>(undefined);
  problem = $state.raw<Problem | null>(null);
  /* The password just signed in with, as long as another has to be chosen: nobody should have to type it twice. */
  once = $state('');

  async load(): Promise<void> {
    this.problem = null;
    try {
      this.current = await api<Session>('/oculi/v1/session', { quiet401: true });
    } catch (error) {
      const problem = asProblem(error);
      if (problem.status === 401) this.current = null;
      else this.problem = problem;
    }
  }

  async signIn(email: string, password: string, code?: string): Promise<void> {
    this.current = await api<Session>('/oculi/v1/session', { method: 'POST', body: { email, password, ...(code ? { code } : {}) }, quiet401: true });
    this.once = this.current.mustChangePassword ? password : '';
  }

  async changePassword(current: string, next: string): Promise<void> {
    await api('/oculi/v1/session/password', { method: 'PUT', body: { current, new: next } });
    this.once = '';
    await this.load();
  }

  async signOut(): Promise<void> {
    await api('/oculi/v1/session', { method: 'DELETE', quiet401: true }).catch((error: unknown) => {
      if (asProblem(error).status !== 401) throw error;
    });
    this.current = null;
    this.once = '';
  }
}

export const session = new SessionState();
whenSignedOut(() => {
  if (session.current) session.current = null;
  session.once = '';
});
