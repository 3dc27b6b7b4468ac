/* What a person chose for this browser: theme, time zone, folded rail, single-key shortcuts. */

type Theme = 'dark' | 'light';

function read(name: string): string | null {
  try {
    return localStorage.getItem(`oculi.${name}`);
  } catch {
    return null;
  }
}

function write(name: string, value: string): void {
  try {
    localStorage.setItem(`oculi.${name}`, value);
  } catch {
    /* A browser that keeps nothing still shows the choice until the tab closes. */
  }
}

class Prefs {
  #theme = $state<Theme>(document.documentElement.dataset.theme === 'light' ? 'light' : 'dark');
  #utc = $state(read('utc') === '1');
  #keys = $state(read('keys') !== '0');

  get theme(): Theme {
    return this.#theme;
  }
  set theme(value: Theme) {
    this.#theme = value;
    document.documentElement.dataset.theme = value;
    write('theme', value);
  }
  get utc(): boolean {
    return this.#utc;
  }
  set utc(value: boolean) {
    this.#utc = value;
    write('utc', value ? '1' : '0');
  }
  get keys(): boolean {
    return this.#keys;
  }
  set keys(value: boolean) {
    this.#keys = value;
    write('keys', value ? '1' : '0');
  }
}

export const prefs = new Prefs();

/* The present in seconds, moving once a second, so that ages on the page grow. */
class Clock {
  now = $state(Math.floor(Date.now() / 1000));
}
export const clock = new Clock();
setInterval(() => {
  if (!document.hidden) clock.now = Math.floor(Date.now() / 1000);
}, 1000);
