/* Short messages about what was just done, with the way to undo it where there is one. */
export interface Toast {
  id: number;
  text: string;
  kind: 'done' | 'failed';
  action?: { label: string; run: () => void };
}

class Toasts {
  list = $state.raw<Toast[]>([]);
  #next = 1;

  say(text: string, more: { kind?: Toast['kind']; action?: Toast['action']; seconds?: number } = {}): void {
    const toast: Toast = { id: this.#next++, text, kind: more.kind ?? 'done', action: more.action };
    this.list = [...this.list.slice(-2), toast];
    setTimeout(() => this.drop(toast.id), (more.seconds ?? (more.action ? 10 : 6)) * 1000);
  }

  drop(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();
