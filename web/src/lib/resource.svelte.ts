/*
 * What a page shows and where it stands: nothing yet (loading), here (fresh or being refreshed), or failed. Data that
 * was here stays while newer data is on its way, and when a refresh fails it stays beside the failure.
 */
import { asProblem, isAbort, type Problem } from './api';
import { live } from './live.svelte';

export interface Wanted<T> {
  key: string; /* what the data is of: when it changes, old data is of something else and goes */
  get: (signal: AbortSignal) => Promise<T>;
  topics?: readonly string[]; /* live events that make it worth fetching again */
}

const REFRESH_MS = 400;

export class Resource<T> {
  data = $state.raw<T | null>(null);
  problem = $state.raw<Problem | null>(null);
  isBusy = $state(false);
  at = $state(0);
  #want: () => Wanted<T> | null;
  #again = $state(0);
  #key = '';

  constructor(want: () => Wanted<T> | null) {
    this.#want = want;
    $effect(() => {
      const wanted = this.#want();
      void this.#again;
      if (!wanted) {
        this.data = null;
        this.problem = null;
        this.isBusy = false;
        this.#key = '';
        return undefined;
      }
      if (wanted.key !== this.#key) {
        this.#key = wanted.key;
        this.data = null;
        this.problem = null;
      }
      const abort = new AbortController();
      this.isBusy = true;
      wanted.get(abort.signal).then(
        (data) => {
          if (abort.signal.aborted) return;
          this.data = data;
          this.problem = null;
          this.isBusy = false;
          this.at = Math.floor(Date.now() / 1000);
        },
        (error: unknown) => {
          if (abort.signal.aborted || isAbort(error)) return;
          this.problem = asProblem(error);
          this.isBusy = false;
        },
      );
      return () => abort.abort();
    });
    const topicText = $derived(this.#want()?.topics?.join(',') ?? '');
    $effect(() => {
      if (topicText === '') return undefined;
      let timer: ReturnType<typeof setTimeout> | null = null;
      const stop = live.subscribe(topicText.split(','), () => {
        timer ??= setTimeout(() => {
          timer = null;
          this.refresh();
        }, REFRESH_MS);
      });
      return () => {
        stop();
        if (timer !== null) clearTimeout(timer);
      };
    });
  }

  refresh(): void {
    this.#again++;
  }

  get isLoading(): boolean {
    return this.data === null && this.problem === null && this.isBusy;
  }
}
